#include "config/config.h"

#include "base/text.h"
#include "config_text.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SERVICE "[s]\nclient = yes\naccept = 1\nconnect = cache.example.com:6379\n"
#define PLAIN_TAIL "accept = 1\nconnect = 2\n"

static void
the_example_of_the_elasticache_guide_works_unchanged(void **state ATTR_UNUSED)
{
	struct report *report = report_new();
	struct config *config = config_load("tests/fixtures/aws-elasticache.conf", report);

	assert_non_null(config);
	assert_null(report_get(report, 0));
	assert_int_equal(config->service_count, 2);
	assert_string_equal(config->services[1]->name, "redis-cli-replica");
	assert_int_equal(config->services[1]->index, 1);
	const struct service_options *options = &config->services[1]->options;
	assert_true(options->client);
	assert_true(options->verify_chain);
	assert_int_equal(options->accept.count, 1);
	assert_string_equal(options->accept.items[0].port, "6380");
	assert_string_equal(options->connect.items[0].host,
			    "replica.demo.abc123.use1.cache.amazonaws.com");
	assert_int_equal(config->global.debug.level, 7);
	assert_string_equal(config->global.pid, "/var/run/stunnel.pid");
	assert_int_equal(options->connect.items[0].at.line, 16);
	config_unref(config);
	report_free(report);
}

static void
what_stunnels_users_have_loads_without_an_error(void **state ATTR_UNUSED)
{
	static const char *const names[] = {"heroku-buildpack", "efs-utils", "stunredis",
					    "docker-image"};

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		char path[128];
		struct report *report = report_new();
		(void)snprintf(path, sizeof path, "tests/fixtures/%s.conf", names[i]);
		struct config *config = config_load(path, report);
		if (config == NULL)
			fail_msg("%s", report_get(report, 0)->text);
		assert_int_equal(report_count(report, REPORT_WARNING), 0);
		config_unref(config);
		report_free(report);
	}
}

static void
noted_options_load_with_a_note_and_refused_ones_say_why(void **state ATTR_UNUSED)
{
	const struct option_table *tables[] = {&global_options_table, &service_options_table};

	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < tables[i]->count; j++) {
			const struct option_row *row = &tables[i]->rows[j];
			char text[256];
			if (tables[i] == &global_options_table)
				(void)snprintf(text, sizeof text, "%s = value\n" SERVICE,
					       row->name);
			else
				(void)snprintf(text, sizeof text, SERVICE "%s = value\n",
					       row->name);
			if (row->treatment == OPTION_NOTED)
				assert_loads(text, REPORT_NOTE, row->help);
			else if (row->treatment == OPTION_REFUSED)
				assert_fails(text, row->help);
		}
	}
}

static void
harmless_values_need_no_remark(void **state ATTR_UNUSED)
{
	struct loaded loaded = load("fips = no\n" SERVICE
				    "libwrap = no\nOCSPaia = No\ndelay = yes\nretry = no\n"
				    "pty = no\ntransparent = none\nrequireCert = no\n");

	assert_null(report_get(loaded.report, 0));
	unload(&loaded);
}

static void
mistakes_are_named_with_their_line_and_what_to_do(void **state ATTR_UNUSED)
{
	static const struct {
		const char *text;
		const char *error;
	} cases[] = {
		{"[s]\nconect = a:1\n", "descriptor 200:2: unknown option 'conect' in \"conect = "
					"a:1\"; did you mean 'connect'?"},
		{"zzzzzzzzzzz = 1\n" SERVICE, "'cachetunnel --options' lists all"},
		{"[s]\nprotocolPasword = hunter2\n", "in \"protocolPasword = ...\"; did you mean"},
		{SERVICE "pid = /x\n", "200:5: 'pid' is not valid inside a section; move it above"},
		{SERVICE "fips = no\n", "'fips' is not valid inside a section"},
		{"", "there is no service"},
		{"[]\nclient = yes\naccept = 1\nconnect = 2\n", "the section has no name"},
		{"[s\n", "does not end with ']'"},
		{"word\n" SERVICE, "200:1: \"word\" is neither"},
		{"[s]\nclient = yes\nconnect = 1\n", "200:1: service 's' has no 'accept'"},
		{"[s]\nclient = yes\naccept = 1\n", "200:1: service 's' has no 'connect'"},
		{"[s]\naccept = 1\nconnect = a:2\n", "200:1: service 's' needs 'client = yes'"},
		{"[s]\nclient = no\naccept = 1\nconnect = a:2\n", "200:2: service 's' needs 'cl"},
		{SERVICE "verifyPeer = yes\n", "200:5: service 's' accepts listed certificates"},
		{SERVICE "verify = 4\n", "200:5: service 's' accepts listed certificates"},
		{SERVICE "verifyChain = no\ncheckHost = a\n",
		 "200:6: 'checkHost' needs verification, and service 's' has switched it off; "
		 "remove 'verifyChain = no'"},
		{SERVICE "verify = 0\ncheckIP = 1.2.3.4\n", "remove 'verify = 0'"},
		{SERVICE "key = /k\n", "'key' needs 'cert'"},
		{SERVICE "sslVersionMin = TLSv1.3\nsslVersionMax = TLSv1.2\n",
		 "no version is left"},
		{SERVICE "sslVersionMax = TLSv1.1\n", "sslVersionMin TLSv1.2 (the default)"},
		{SERVICE "sni = a:b\n", "for TLS servers"},
		{SERVICE "fallback = s\n", "200:5: 'fallback' of service 's' must be another "
					   "service, not itself"},
		{SERVICE "fallback = x\n", "must be another service; there is no [x]"},
		{"[s]\nclient = yes\naccept = 1\nconnect = /x.sock\n", "write 'checkHost = NAME'"},
		{"setuid = no-such-user-x\n" SERVICE, "200:1: there is no user 'no-such-user-x'"},
		{"setgid = no-such-group-x\n" SERVICE, "there is no group"},
		{SERVICE "setuid = no-such-user-x\n", "200:5: there is no user"},
		{"chroot = /no/such/dir\n" SERVICE, "needs a directory that exists"},
		{"output = x.log\n" SERVICE, "'output' needs a path that begins with '/'"},
		{"pid = x.pid\n" SERVICE, "'pid' needs a path"},
		{"[a]\nclient=yes\naccept=6379\nconnect=a:1\n"
		 "[b]\nclient=yes\naccept=LOCALHOST:6379\nconnect=b:1\n",
		 "200:7: descriptor 200:3 accepts on LOCALHOST:6379 already"},
		{SERVICE "accept = 1\n", "200:5: descriptor 200:3 accepts on localhost:1 already"},
		{"accept = bad:\n" SERVICE, "200:1: option 'accept': 'bad:' has no port"},
		{"include = /no/such/dir\n" SERVICE, "200:1: cannot include '/no/such/dir'"},
		{"include =\n" SERVICE, "the value is empty"},
		{SERVICE "include = /x\n", "'include' is not valid inside a section"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		assert_fails(cases[i].text, cases[i].error);
}

static void
risks_are_warned_of_and_the_harmless_is_noted(void **state ATTR_UNUSED)
{
	static const struct {
		const char *text;
		enum report_level level;
		const char *fragment;
	} cases[] = {
		{SERVICE "verifyChain = no\n", REPORT_WARNING, "200:5: service 's' accepts any"},
		{SERVICE "verify = 0\n", REPORT_WARNING, "200:5: service 's' accepts any server"},
		{SERVICE "sslVersion = TLSv1\n", REPORT_WARNING,
		 "200:5: service 's' allows TLSv1,"},
		{SERVICE "sslVersionMin = TLSv1.1\n", REPORT_WARNING, "allows TLSv1.1"},
		{SERVICE "TIMEOUTidle = 1\nTIMEOUTidle = 2\n", REPORT_WARNING,
		 "200:6: 'TIMEOUTidle' replaces what descriptor 200:5 says"},
		{SERVICE "[s]\nclient = yes\naccept = 2\nconnect = a:1\n", REPORT_WARNING,
		 "200:5: descriptor 200:1 has a section [s] too"},
		{"[s]\nplain = yes\n" PLAIN_TAIL, REPORT_NOTE, "'s' forwards without TLS"},
		{"[s]\nplain = yes\nCAfile = /x\n" PLAIN_TAIL, REPORT_WARNING,
		 "200:3: 'CAfile' is about TLS"},
		{SERVICE "delay = no\n", REPORT_NOTE, "resolved for every connection"},
		{"foreground = yes\noutput = x.log\n" SERVICE, REPORT_NOTE, NULL},
		{"[s]\nclient = yes\naccept = /a\nconnect = /b\ncheckHost = c\n", REPORT_NOTE,
		 NULL},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		assert_loads(cases[i].text, cases[i].level, cases[i].fragment);
}

static void
tls_defaults_are_no_remark_against_a_plain_service(void **state ATTR_UNUSED)
{
	struct loaded loaded = load("client = yes\nCAfile = /x\n[s]\nplain = yes\n" PLAIN_TAIL);

	assert_int_equal(report_count(loaded.report, REPORT_WARNING), 0);
	unload(&loaded);
}

static void
all_errors_are_reported_and_those_of_defaults_once(void **state ATTR_UNUSED)
{
	struct report *report = report_new();

	assert_null(load_text("TIMEOUTidle = x\nbad\n[a]\nclient=yes\naccept=0\nconnect=a:1\n"
			      "[b]\nclient=yes\naccept=1\nconnect=a:1\nnosuchthing=1\n",
			      report));
	assert_int_equal(report_count(report, REPORT_ERROR), 4);
	report_free(report);
}

static void
a_service_inherits_and_overrides_what_stands_above(void **state ATTR_UNUSED)
{
	struct loaded loaded = load(
		"client = yes\nTIMEOUTidle = 5\ncheckHost = one\nsni = above\n"
		"[a]\naccept = 1\nconnect = a:1\n"
		"[b]\naccept = 2\nconnect = a:2\ncheckHost = two\nTIMEOUTidle = 6\nsni =\n");
	const struct service *a = loaded.config->services[0];
	const struct service *b = loaded.config->services[1];

	assert_int_equal(a->options.timeout_idle_s, 5);
	assert_int_equal(b->options.timeout_idle_s, 6);
	assert_int_equal(a->options.check_host.count, 1);
	assert_int_equal(b->options.check_host.count, 2);
	assert_string_equal(b->options.check_host.items[0].text, "one");
	assert_string_equal(b->options.check_host.items[1].text, "two");
	assert_string_equal(a->options.sni, "above");
	assert_string_equal(b->options.sni, "");
	assert_true(service_option_is_set(a, "timeoutIdle"));
	assert_false(service_option_is_set(a, "reset"));
	assert_int_equal(service_option_at(a, "TIMEOUTidle").line, 2);
	assert_int_equal(service_option_at(b, "TIMEOUTidle").line, 12);
	assert_int_equal(service_option_at(b, "reset").line, 8);
	assert_int_equal(config_option_at(loaded.config, "pid").line, 0);
	assert_int_equal(report_count(loaded.report, REPORT_WARNING), 0);
	unload(&loaded);
}

static void
names_in_both_tables_mean_the_daemon_above_and_the_service_below(void **state ATTR_UNUSED)
{
	struct loaded loaded = load("debug = local1.3\nmaxClients = 9\n" SERVICE
				    "debug = 7\nmaxClients = 4\n");

	assert_int_equal(loaded.config->global.debug.level, 3);
	assert_int_equal(loaded.config->global.max_clients, 9);
	assert_int_equal(loaded.config->services[0]->options.debug.level, 7);
	assert_int_equal(loaded.config->services[0]->options.max_clients, 4);
	unload(&loaded);
}

static void
the_ways_to_ask_for_verification_come_down_to_two(void **state ATTR_UNUSED)
{
	static const struct {
		const char *text;
		bool chain;
		bool peer;
	} cases[] = {
		{"", true, false},
		{"verifyChain = yes\n", true, false},
		{"verifyChain = no\n", false, false},
		{"verifyPeer = yes\n", false, true},
		{"verifyPeer = yes\nverifyChain = yes\n", true, true},
		{"verifyPeer = no\n", true, false},
		{"verify = 0\n", false, false},
		{"verify = 1\n", true, false},
		{"verify = 2\n", true, false},
		{"verify = 3\n", true, true},
		{"verify = 4\n", false, true},
		{"verify = 0\nverifyChain = yes\n", true, false},
		{"verify = 4\nverifyChain = yes\n", true, true},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		char text[256];
		(void)snprintf(text, sizeof text, SERVICE "CAfile = /x\n%s", cases[i].text);
		struct loaded loaded = load(text);
		const struct service_options *options = &loaded.config->services[0]->options;
		assert_int_equal(options->verify_chain, cases[i].chain);
		assert_int_equal(options->verify_peer, cases[i].peer);
		unload(&loaded);
	}
}

static void
one_version_sets_the_oldest_and_the_newest(void **state ATTR_UNUSED)
{
	struct loaded loaded = load(SERVICE "sslVersion = TLSv1.3\n");

	assert_int_equal(loaded.config->services[0]->options.ssl_version_min, TLS1_3_VERSION);
	assert_int_equal(loaded.config->services[0]->options.ssl_version_max, TLS1_3_VERSION);
	unload(&loaded);
}

static void
an_empty_pid_is_none(void **state ATTR_UNUSED)
{
	struct loaded loaded = load("pid =\n" SERVICE);

	assert_null(loaded.config->global.pid);
	unload(&loaded);
}

static void
references_keep_a_configuration(void **state ATTR_UNUSED)
{
	struct loaded loaded = load(SERVICE);
	struct config *second = config_ref(loaded.config);

	unload(&loaded);
	assert_string_equal(second->services[0]->name, "s");
	assert_string_equal(second->services[0]->at.file, config_text_name);
	config_unref(second);
	config_unref(NULL);
}

static void
messages_hold_nothing_that_moves_a_cursor(void **state ATTR_UNUSED)
{
	assert_fails("[\x1b[2J]\nsslVersion = \x1b[31m\n", "option 'sslVersion': '.[31m' must be");
}

static void
a_file_that_cannot_be_read_is_one_error(void **state ATTR_UNUSED)
{
	struct report *report = report_new();

	assert_null(config_load("/no/such/file.conf", report));
	assert_int_equal(report_count(report, REPORT_ERROR), 1);
	assert_string_equal(report_get(report, 0)->text,
			    "/no/such/file.conf: cannot open the file: No such file or directory");
	report_free(report);

	report = report_new();
	assert_null(config_load_fd(-1, report));
	assert_int_equal(report_count(report, REPORT_ERROR), 1);
	report_free(report);
}

static char folder[64]; /* of its own for each test of `include` */

static int
make_folder(void **state ATTR_UNUSED)
{
	strcpy(folder, "/tmp/test_config.XXXXXX");
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static void
write_file(const char *name, const char *text)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *stream = fopen(path, "w");
	assert_non_null(stream);
	assert_true(fputs(text, stream) >= 0);
	assert_int_equal(fclose(stream), 0);
}

static int
remove_folder(void **state ATTR_UNUSED)
{
	static const char *const names[] = {"10-a", "20-b", "sub/x", "sub"};
	char path[128];

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		(void)remove(path);
	}
	return rmdir(folder);
}

static void
included_files_are_read_in_place_and_in_order(void **state ATTR_UNUSED)
{
	char text[256];
	char path[128];

	write_file("20-b", "[b]\nclient = yes\naccept = 2\nconnect = b:1\nTIMEOUTidle = 2\n");
	write_file("10-a", "TIMEOUTbusy = 3\n[a]\nclient = yes\naccept = 1\nconnect = a:1");
	(void)snprintf(path, sizeof path, "%s/sub", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	write_file("sub/x", "nonsense\n"); /* folders in the folder are not read */
	(void)snprintf(text, sizeof text,
		       "include = %s\n[c]\nclient = yes\naccept = 3\nconnect = c:1\n", folder);
	struct loaded loaded = load(text);
	assert_null(report_get(loaded.report, 0));
	assert_int_equal(loaded.config->service_count, 3);
	assert_string_equal(loaded.config->services[0]->name, "a");
	assert_string_equal(loaded.config->services[1]->name, "b");
	assert_string_equal(loaded.config->services[2]->name, "c");
	assert_int_equal(loaded.config->services[2]->options.timeout_busy_s, 3);
	struct location at = service_option_at(loaded.config->services[1], "TIMEOUTidle");
	assert_int_equal(at.line, 5);
	assert_non_null(strstr(at.file, "/20-b"));
	assert_string_equal(loaded.config->services[2]->at.file, config_text_name);
	unload(&loaded);
}

static void
what_falls_into_another_files_section_is_warned_of(void **state ATTR_UNUSED)
{
	char text[256];

	write_file("10-a", "[a]\nclient = yes\naccept = 1\nconnect = a:1\n");
	(void)snprintf(text, sizeof text, "include = %s\nTIMEOUTidle = 1\nreset = no\n", folder);
	struct loaded loaded = load(text);
	assert_int_equal(report_count(loaded.report, REPORT_WARNING), 1);
	assert_true(report_has(loaded.report, REPORT_WARNING, "200:2: this and what follows"));
	unload(&loaded);
}

static void
a_folder_that_includes_itself_is_an_error(void **state ATTR_UNUSED)
{
	char text[256];

	(void)snprintf(text, sizeof text, "include = %s\n", folder);
	write_file("10-a", text);
	(void)snprintf(text, sizeof text, "include = %s/.\n" SERVICE, folder);
	assert_fails(text, "/10-a:1: cannot include '/tmp");
	assert_fails(text, "it includes itself");
}

static void
a_huge_file_is_read_in_linear_time(void **state ATTR_UNUSED)
{
	enum { SECTIONS = 20000, EACH = 80 };
	char *text = test_malloc((size_t)SECTIONS * EACH + 1);
	size_t length = 0;

	for (int i = 0; i < SECTIONS; i++)
		length += (size_t)snprintf(text + length, EACH,
					   "[s%d]\nclient=yes\naccept=127.%d.%d.1:6379\n"
					   "connect=a:1\n",
					   i, i / 250, i % 250);
	struct loaded loaded = load(text);
	assert_int_equal(loaded.config->service_count, SECTIONS);
	unload(&loaded);
	test_free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_the_elasticache_guide_works_unchanged),
		cmocka_unit_test(what_stunnels_users_have_loads_without_an_error),
		cmocka_unit_test(noted_options_load_with_a_note_and_refused_ones_say_why),
		cmocka_unit_test(harmless_values_need_no_remark),
		cmocka_unit_test(mistakes_are_named_with_their_line_and_what_to_do),
		cmocka_unit_test(risks_are_warned_of_and_the_harmless_is_noted),
		cmocka_unit_test(tls_defaults_are_no_remark_against_a_plain_service),
		cmocka_unit_test(all_errors_are_reported_and_those_of_defaults_once),
		cmocka_unit_test(a_service_inherits_and_overrides_what_stands_above),
		cmocka_unit_test(names_in_both_tables_mean_the_daemon_above_and_the_service_below),
		cmocka_unit_test(the_ways_to_ask_for_verification_come_down_to_two),
		cmocka_unit_test(one_version_sets_the_oldest_and_the_newest),
		cmocka_unit_test(an_empty_pid_is_none),
		cmocka_unit_test(references_keep_a_configuration),
		cmocka_unit_test(messages_hold_nothing_that_moves_a_cursor),
		cmocka_unit_test(a_file_that_cannot_be_read_is_one_error),
		cmocka_unit_test_setup_teardown(included_files_are_read_in_place_and_in_order,
						make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(what_falls_into_another_files_section_is_warned_of,
						make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(a_folder_that_includes_itself_is_an_error,
						make_folder, remove_folder),
		cmocka_unit_test(a_huge_file_is_read_in_linear_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
