#include "config/config.h"

#include "config_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SERVICE "[s]\nclient = yes\naccept = 1\nconnect = cache.example.com:6379\n"
#define SECOND "[t]\nclient = yes\naccept = 2\nconnect = cache.example.com:6380\n"
#define PIN "SHA256:uNiVztksCsDhcc0u9e8BrwZkvVlZUBDWe6xHeZ0qTuE"

/* Nothing here is an alias, and a text that is taken for one must not start a program. */
static int
set_environment(void **state ATTR_UNUSED)
{
	return setenv("HOME", "/home/me", 1) != 0 ||
	       setenv("CACHETUNNEL_SSH", "/no/such/program", 1) != 0;
}

static void
a_section_may_stand_before_or_after_the_service(void **state ATTR_UNUSED)
{
	static const char section[] = "[bastion prod]\nhost = 203.0.113.7\nuser = ec2-user\n"
				      "identityFile = ~/.ssh/key.pem\n";
	char texts[2][512];

	(void)snprintf(texts[0], sizeof texts[0], "%s" SERVICE "bastion = prod\n", section);
	(void)snprintf(texts[1], sizeof texts[1], SERVICE "bastion = prod\n%s", section);
	for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
		struct loaded loaded = load(texts[i]);
		assert_null(report_get(loaded.report, 0));
		assert_int_equal(loaded.config->service_count, 1);
		assert_int_equal(loaded.config->bastion_count, 1);
		const struct bastion *bastion = loaded.config->services[0]->bastion;
		assert_ptr_equal(bastion, loaded.config->bastions[0]);
		assert_string_equal(bastion->name, "prod");
		assert_int_equal(bastion->origin, BASTION_SECTION);
		assert_string_equal(bastion->options.host, "203.0.113.7");
		assert_string_equal(bastion->options.user, "ec2-user");
		assert_int_equal(bastion->options.identity_file.count, 1);
		assert_string_equal(bastion->options.identity_file.items[0].text,
				    "/home/me/.ssh/key.pem");
		assert_int_equal(bastion->options.known_hosts.count, 2);
		assert_null(bastion->via);
		unload(&loaded);
	}
}

static void
the_lines_of_options_are_remembered(void **state ATTR_UNUSED)
{
	struct loaded loaded = load("[BASTION \t b]\nhost = h\n" SERVICE "bastion = b\n");
	const struct bastion *bastion = loaded.config->bastions[0];

	assert_string_equal(bastion->name, "b");
	assert_int_equal(bastion->at.line, 1);
	assert_int_equal(bastion_option_at(bastion, "HOST").line, 2);
	assert_int_equal(bastion_option_at(bastion, "port").line, 1);
	assert_true(bastion_option_is_set(bastion, "host"));
	assert_false(bastion_option_is_set(bastion, "port"));
	unload(&loaded);
}

static void
default_files_are_marked_as_such(void **state ATTR_UNUSED)
{
	static const char *const keys[] = {"/home/me/.ssh/id_ed25519", "/home/me/.ssh/id_ecdsa",
					   "/home/me/.ssh/id_rsa"};
	static const char *const hosts[] = {"/home/me/.ssh/known_hosts",
					    "/etc/ssh/ssh_known_hosts"};
	struct loaded loaded = load("[bastion b]\nhost = h\n" SERVICE "bastion = b\n" SECOND
				    "bastion = u@h\n");

	for (size_t i = 0; i < 2; i++) {
		const struct bastion_options *options = &loaded.config->bastions[i]->options;
		assert_int_equal(options->identity_file.count, ARRAY_LENGTH(keys));
		for (size_t j = 0; j < ARRAY_LENGTH(keys); j++) {
			assert_string_equal(options->identity_file.items[j].text, keys[j]);
			assert_null(options->identity_file.items[j].at.file);
		}
		assert_int_equal(options->known_hosts.count, ARRAY_LENGTH(hosts));
		for (size_t j = 0; j < ARRAY_LENGTH(hosts); j++)
			assert_string_equal(options->known_hosts.items[j].text, hosts[j]);
	}
	unload(&loaded);
}

static void
one_line_may_be_a_whole_bastion(void **state ATTR_UNUSED)
{
	static const struct {
		const char *text;
		const char *user;
		const char *host;
		int port;
		enum bastion_origin origin; /* an alias: ssh was asked, and knows no more of it */
	} cases[] = {
		{"ec2-user@203.0.113.7:2222", "ec2-user", "203.0.113.7", 2222, BASTION_INLINE},
		{"ec2-user@203.0.113.7", "ec2-user", "203.0.113.7", 22, BASTION_INLINE},
		{"u@host", "u", "host", 22, BASTION_ALIAS},
		{"me@corp.example@host", "me@corp.example", "host", 22, BASTION_ALIAS},
		{"u@host:22", "u", "host", 22, BASTION_INLINE},
		{"host:2222", NULL, "host", 2222, BASTION_INLINE},
		{"bastion.example.com", NULL, "bastion.example.com", 22, BASTION_ALIAS},
		{"::1", NULL, "::1", 22, BASTION_INLINE},
		{"[::1]:2222", NULL, "::1", 2222, BASTION_INLINE},
		{"u@[fe80::1%eth0]", "u", "fe80::1%eth0", 22, BASTION_INLINE},
		{"u@2001:db8::7", "u", "2001:db8::7", 22, BASTION_INLINE},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		char text[256];
		(void)snprintf(text, sizeof text, SERVICE "bastion = %s\n", cases[i].text);
		struct loaded loaded = load(text);
		const struct bastion *bastion = loaded.config->services[0]->bastion;
		assert_string_equal(bastion->name, cases[i].text);
		assert_int_equal(bastion->origin, cases[i].origin);
		assert_int_equal(bastion->at.line, 5);
		assert_string_equal(bastion->options.host, cases[i].host);
		assert_int_equal(bastion->options.port, cases[i].port);
		if (cases[i].user != NULL)
			assert_string_equal(bastion->options.user, cases[i].user);
		else
			assert_null(bastion->options.user);
		assert_null(report_get(loaded.report, 0));
		unload(&loaded);
	}
}

static void
the_same_text_is_the_same_bastion(void **state ATTR_UNUSED)
{
	struct loaded loaded = load(SERVICE "bastion = u@h:22\n" SECOND "bastion = u@h:22\n"
					    "[r]\nplain = yes\naccept = 3\nconnect = a:1\n"
					    "bastion = u@h\n");
	const struct config *config = loaded.config;

	assert_int_equal(config->bastion_count, 2);
	assert_ptr_equal(config->services[0]->bastion, config->services[1]->bastion);
	assert_ptr_not_equal(config->services[0]->bastion, config->services[2]->bastion);
	unload(&loaded);
}

static void
a_section_goes_before_a_host_of_that_name(void **state ATTR_UNUSED)
{
	struct loaded loaded = load("[bastion a.b]\nhost = c\n" SERVICE "bastion = a.b\n");

	assert_int_equal(loaded.config->bastion_count, 1);
	assert_string_equal(loaded.config->services[0]->bastion->options.host, "c");
	unload(&loaded);
}

static void
services_inherit_a_bastion_and_may_have_another(void **state ATTR_UNUSED)
{
	struct loaded loaded = load("bastion = u@h\nlocal = 127.0.0.1\n" SERVICE SECOND
				    "bastion = u@other\n");

	assert_string_equal(loaded.config->services[0]->bastion->options.host, "h");
	assert_string_equal(loaded.config->services[1]->bastion->options.host, "other");
	assert_null(report_get(loaded.report, 0));
	unload(&loaded);
}

static void
what_is_behind_a_bastion_may_be_a_socket_or_several(void **state ATTR_UNUSED)
{
	struct loaded loaded = load("[s]\nplain = yes\naccept = 1\nconnect = /run/redis.sock\n"
				    "connect = a:1\nbastion = u@h\n");

	assert_int_equal(report_count(loaded.report, REPORT_WARNING), 0);
	unload(&loaded);
}

static void
bastions_may_be_chained(void **state ATTR_UNUSED)
{
	struct loaded loaded = load("[bastion inner]\nhost = i\nvia = middle\n"
				    "[bastion middle]\nhost = m\nvia = u@outer:2222\n" SERVICE
				    "bastion = inner\n");
	const struct bastion *bastion = loaded.config->services[0]->bastion;

	assert_null(report_get(loaded.report, 0));
	assert_string_equal(bastion->name, "inner");
	assert_string_equal(bastion->via->name, "middle");
	assert_string_equal(bastion->via->via->options.host, "outer");
	assert_int_equal(bastion->via->via->options.port, 2222);
	assert_null(bastion->via->via->via);
	assert_int_equal(loaded.config->bastion_count, 3);
	unload(&loaded);
}

static void
circles_are_named_and_opened(void **state ATTR_UNUSED)
{
	struct report *report = report_new();

	assert_fails("[bastion a]\nhost = a\nvia = a\n" SERVICE "bastion = a\n",
		     "200:3: the way to bastion 'a' leads in a circle: 'a' via 'a'; remove one");
	assert_fails("[bastion a]\nhost = a\nvia = b\n[bastion b]\nhost = b\nvia = c\n"
		     "[bastion c]\nhost = c\nvia = b\n" SERVICE "bastion = a\n",
		     "200:6: the way to bastion 'b' leads in a circle: 'b' via 'c' via 'b'");
	assert_null(load_text("[bastion a]\nhost = a\nvia = b\n[bastion b]\nhost = b\nvia = a\n"
			      "[bastion c]\nhost = c\nvia = a\n" SERVICE "bastion = c\n",
			      report));
	assert_int_equal(report_count(report, REPORT_ERROR), 1);
	report_free(report);
}

static void
references_to_nothing_are_named_with_their_line(void **state ATTR_UNUSED)
{
	static const struct {
		const char *text;
		const char *error;
	} cases[] = {
		{SERVICE "bastion = nowhere\n",
		 "200:5: there is no section [bastion nowhere], and no ssh alias of that name: "
		 "'ssh -G nowhere': cannot run it; install OpenSSH's client: No such file"},
		{"[bastion prod]\nhost = h\n" SERVICE "bastion = prdo\n",
		 "200:7: there is no section [bastion prdo] (did you mean 'prod'?), and no ssh alias"},
		{"[bastion a]\nhost = h\nvia = nowhere\n" SERVICE "bastion = a\n",
		 "200:3: there is no section [bastion nowhere]"},
		{SERVICE "bastion = -oX\n", "it is not a name that ssh could know"},
		{SERVICE "bastion = a b\n", "it is not a name that ssh could know"},
		{SERVICE "bastion = a,b\n", "it is not a name that ssh could know"},
		{SERVICE "bastion =\n", "200:5: option 'bastion': the value is empty"},
		{SERVICE "bastion = u@h:0\n",
		 "200:5: 'u@h:0' is no bastion: the port after ':': '0' must be a whole number"},
		{SERVICE "bastion = u@h:\n", "the port after ':'"},
		{SERVICE "bastion = @h\n", "the user before '@': the value is empty"},
		{SERVICE "bastion = u@\n", "'u@' is no bastion: '' must be a host's name"},
		{SERVICE "bastion = u@-h\n", "must be a host's name"},
		{SERVICE "bastion = [::1]x:22\n", "must be a host's name"},
		{SERVICE "bastion = a:b:c\n", "must be a host's name"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		assert_fails(cases[i].text, cases[i].error);
}

static void
mistakes_in_sections_are_named_too(void **state ATTR_UNUSED)
{
	static const struct {
		const char *text;
		const char *error;
	} cases[] = {
		{"[bastion a]\n" SERVICE "bastion = a\n",
		 "200:1: bastion 'a' has no 'host'; write the SSH server's name or address"},
		{"[bastion a]\nproxyCommand = x\n" SERVICE "bastion = a\n",
		 "its host key is known by, even with 'proxyCommand'"},
		{"[bastion a]\nhost = h\nvia = u@o\nproxyCommand = x\n" SERVICE "bastion = a\n",
		 "200:4: bastion 'a' has both 'via' and 'proxyCommand'"},
		{"[bastion a]\nhost = h\nproxyCommand = x %n\n" SERVICE "bastion = a\n",
		 "200:3: option 'proxyCommand': 'x %n' has '%n', which means nothing here"},
		{"[bastion a]\nhost = h\n[bastion a]\nhost = i\n" SERVICE "bastion = a\n",
		 "200:3: descriptor 200:1 has a section [bastion a] too; give each a name of its"},
		{"[bastion a b]\nhost = h\n" SERVICE, "200:1: the name of a bastion is one word"},
		{"[bastion a]\nhosst = h\n" SERVICE,
		 "unknown option 'hosst' in \"hosst = h\"; did you "
		 "mean 'host'?"},
		{"[bastion a]\nhost = h\nconnect = b:1\n" SERVICE,
		 "200:3: 'connect' is no option of a bastion; move it into a service's [section]"},
		{"[bastion a]\nhost = h\npid = /x\n" SERVICE, "'pid' is no option of a bastion"},
		{SERVICE "identityFile = /x\n",
		 "200:5: 'identityFile' is a bastion's option; move it into a section [bastion"},
		{"identityFile = /x\n" SERVICE, "200:1: 'identityFile' is a bastion's option"},
		{"[bastion a]\nhost = h\nhostKey = x\n" SERVICE,
		 "200:3: option 'hostKey': 'x' must"},
		{"[bastion a]\nhost = h\n", "there is no service"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		assert_fails(cases[i].text, cases[i].error);
}

static void
a_bad_value_is_one_error(void **state ATTR_UNUSED)
{
	struct report *report = report_new();

	assert_null(load_text("[bastion a]\nhost = h:22\nidentityFile = ~no-such-user-x/k\n" SERVICE
			      "bastion = a\n" SECOND "bastion = nowhere\n"
			      "[r]\nplain = yes\naccept = 3\nconnect = a:1\nbastion = nowhere\n",
			      report));
	assert_int_equal(report_count(report, REPORT_ERROR), 3);
	report_free(report);
}

static void
risks_are_warned_of_and_the_harmless_is_noted(void **state ATTR_UNUSED)
{
	static const struct {
		const char *text;
		enum report_level level;
		const char *fragment;
	} cases[] = {
		{"[bastion a]\nhost = h\nhostKeyCheck = no\n" SERVICE "bastion = a\n",
		 REPORT_WARNING, "200:3: bastion 'a' accepts any host key: nothing tells it from"},
		{"[bastion a]\nhost = h\nhostKeyCheck = no\nhostKey = " PIN "\n" SERVICE
		 "bastion = a\n",
		 REPORT_WARNING, "200:3: bastion 'a' has 'hostKey', which is checked all the same"},
		{"[bastion a]\nhost = h\n" SERVICE, REPORT_NOTE,
		 "200:1: no service goes through bastion 'a'; write 'bastion = a' into one"},
		{SERVICE "local = 127.0.0.1\nbastion = u@h\n", REPORT_WARNING,
		 "200:5: 'local' has no effect, because service 's' goes through a bastion"},
		{"[bastion a]\nhost = h\nport = 1\nport = 2\n" SERVICE "bastion = a\n",
		 REPORT_WARNING, "200:4: 'port' replaces what descriptor 200:3 says"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		assert_loads(cases[i].text, cases[i].level, cases[i].fragment);
}

static void
a_bastion_that_another_hops_through_is_used(void **state ATTR_UNUSED)
{
	struct loaded loaded = load(
		"[bastion a]\nhost = h\nvia = b\n[bastion b]\nhost = i\n" SERVICE "bastion = a\n");

	assert_null(report_get(loaded.report, 0));
	unload(&loaded);
}

static void
a_section_called_bastion_is_a_service(void **state ATTR_UNUSED)
{
	struct loaded loaded = load("[bastion]\nclient = yes\naccept = 1\nconnect = a:1\n"
				    "[bastions]\nclient = yes\naccept = 2\nconnect = a:1\n"
				    "[b]\nclient = yes\naccept = 3\nconnect = a:1\n");

	assert_int_equal(loaded.config->service_count, 3);
	assert_int_equal(loaded.config->bastion_count, 0);
	assert_null(loaded.config->services[0]->bastion);
	unload(&loaded);
}

static void
many_bastions_are_read_in_linear_time(void **state ATTR_UNUSED)
{
	enum { SECTIONS = 10000, EACH = 160 };
	char *text = test_malloc((size_t)SECTIONS * EACH + 1);
	size_t length = 0;

	for (int i = 0; i < SECTIONS; i++)
		length += (size_t)snprintf(text + length, EACH,
					   "[bastion b%d]\nhost=h\n[s%d]\nclient=yes\n"
					   "accept=127.%d.%d.1:6379\nconnect=a:1\nbastion=%s%d\n",
					   i, i, i / 250, i % 250, i % 2 == 0 ? "b" : "u@h", i);
	struct loaded loaded = load(text);
	assert_int_equal(loaded.config->service_count, SECTIONS);
	assert_int_equal(loaded.config->bastion_count, SECTIONS + SECTIONS / 2);
	unload(&loaded);
	test_free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_section_may_stand_before_or_after_the_service),
		cmocka_unit_test(the_lines_of_options_are_remembered),
		cmocka_unit_test(default_files_are_marked_as_such),
		cmocka_unit_test(one_line_may_be_a_whole_bastion),
		cmocka_unit_test(the_same_text_is_the_same_bastion),
		cmocka_unit_test(a_section_goes_before_a_host_of_that_name),
		cmocka_unit_test(services_inherit_a_bastion_and_may_have_another),
		cmocka_unit_test(what_is_behind_a_bastion_may_be_a_socket_or_several),
		cmocka_unit_test(bastions_may_be_chained),
		cmocka_unit_test(circles_are_named_and_opened),
		cmocka_unit_test(references_to_nothing_are_named_with_their_line),
		cmocka_unit_test(mistakes_in_sections_are_named_too),
		cmocka_unit_test(a_bad_value_is_one_error),
		cmocka_unit_test(risks_are_warned_of_and_the_harmless_is_noted),
		cmocka_unit_test(a_bastion_that_another_hops_through_is_used),
		cmocka_unit_test(a_section_called_bastion_is_a_service),
		cmocka_unit_test(many_bastions_are_read_in_linear_time),
	};
	return cmocka_run_group_tests(tests, set_environment, NULL);
}
