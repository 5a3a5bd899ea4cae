#include "config/bastion.h"
#include "config/user_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PIN "SHA256:uNiVztksCsDhcc0u9e8BrwZkvVlZUBDWe6xHeZ0qTuE"

enum kind { KIND_NUMBER, KIND_BOOL, KIND_TEXT, KIND_TEXTS };

struct parse_case {
	const char *name;
	const char *text;
	enum kind kind;
	size_t offset;
	int number;           /* for bool and numbers */
	const char *expected; /* for texts; NULL: unset */
	const char *bad;
	const char *error;
};

#define AT(field) offsetof(struct bastion_options, field)

static const struct parse_case cases[] = {
	{"host", "203.0.113.7", KIND_TEXT, AT(host), 0, "203.0.113.7", "a:22",
	 "'a:22' must be a host's name or IP address alone; a port belongs in 'port'"},
	{"host", "[::1]", KIND_TEXT, AT(host), 0, "::1", "u@a", "a user in 'user'"},
	{"host", "fe80::1%eth0", KIND_TEXT, AT(host), 0, "fe80::1%eth0", "[a]", "must be a host"},
	{"host", "b_1.example.com", KIND_TEXT, AT(host), 0, "b_1.example.com", "-oX", "must be"},
	{"host", "b", KIND_TEXT, AT(host), 0, "b", "", "must be a host's name"},
	{"port", "2222", KIND_NUMBER, AT(port), 2222, NULL, "0", "from 1 to 65535"},
	{"user", "ec2-user", KIND_TEXT, AT(user), 0, "ec2-user", "", "empty"},
	{"via", "front", KIND_TEXT, AT(via), 0, "front", "", "empty"},
	{"proxyCommand", "nc %h %p # %r 100%%", KIND_TEXT, AT(proxy_command), 0,
	 "nc %h %p # %r 100%%", "nc %h %x", "has '%x', which means nothing here; there are %h"},
	{"proxyCommand", "nc", KIND_TEXT, AT(proxy_command), 0, "nc", "100%", "has '%'"},
	{"proxyCommand", "%%%%h", KIND_TEXT, AT(proxy_command), 0, "%%%%h", "", "empty"},
	{"eager", "yes", KIND_BOOL, AT(is_eager), true, NULL, "1", "yes or no"},
	{"identitiesOnly", "yes", KIND_BOOL, AT(is_identities_only), true, NULL, "1", "yes or no"},
	{"sessions", "16", KIND_NUMBER, AT(sessions), 16, NULL, "17", "from 1 to 16"},
	{"identityFile", "~/.ssh/a", KIND_TEXTS, AT(identity_file), 0, "/home/me/.ssh/a",
	 "~no-such-user-x/a", "'~no-such-user-x' means nothing: there is no such user"},
	{"identityFile", "~root/a", KIND_TEXTS, AT(identity_file), 0, "/root/a", "", "empty"},
	{"identityFile", "~", KIND_TEXTS, AT(identity_file), 0, "/home/me", "", "empty"},
	{"passphraseFile", "%d/pass", KIND_TEXT, AT(passphrase_file), 0, "/run/cred/pass", "",
	 "empty"},
	{"passwordFile", "${CREDENTIALS_DIRECTORY}/p w", KIND_TEXT, AT(password_file), 0,
	 "/run/cred/p w", "~no-such-user-x", "no such user"},
	{"identityAgent", "/run/agent", KIND_TEXT, AT(identity_agent), 0, "/run/agent", "",
	 "empty"},
	{"identityAgent", "NONE", KIND_TEXT, AT(identity_agent), 0, "none", "$NO_SUCH_VARIABLE_X",
	 "'$NO_SUCH_VARIABLE_X' is not set in the environment"},
	{"identityAgent", "SSH_AUTH_SOCK", KIND_TEXT, AT(identity_agent), 0, NULL, "", "empty"},
	{"identityAgent", "$CREDENTIALS_DIRECTORY", KIND_TEXT, AT(identity_agent), 0, "/run/cred",
	 "", "empty"},
	{"knownHosts", "/etc/kh", KIND_TEXTS, AT(known_hosts), 0, "/etc/kh", "", "empty"},
	{"hostKey", PIN, KIND_TEXTS, AT(host_key), 0, PIN, PIN "=",
	 "must be SHA256: and 43 letters, as 'ssh-keygen -lf FILE' shows"},
	{"hostKey", PIN, KIND_TEXTS, AT(host_key), 0, PIN, "SHA256:abc", "must be SHA256:"},
	{"hostKey", PIN, KIND_TEXTS, AT(host_key), 0, PIN, "MD5:00:11", "must be SHA256:"},
	{"hostKeyCheck", "accept-new", KIND_NUMBER, AT(host_key_check), HOST_KEY_CHECK_ACCEPT_NEW,
	 NULL, "ask", "must be yes, accept-new or no"},
	{"hostKeyCheck", "no", KIND_NUMBER, AT(host_key_check), HOST_KEY_CHECK_NO, NULL, "", "yes"},
	{"hostKeyAlias", "b", KIND_TEXT, AT(host_key_alias), 0, "b", "", "empty"},
	{"TIMEOUTconnect", "3", KIND_NUMBER, AT(timeout_connect_s), 3, NULL, "0", "1 to 86400 s"},
	{"TIMEOUTbanner", "3", KIND_NUMBER, AT(timeout_banner_s), 3, NULL, "0", "1 to 86400 s"},
	{"TIMEOUTkex", "3", KIND_NUMBER, AT(timeout_key_exchange_s), 3, NULL, "x", "whole number"},
	{"TIMEOUTlogin", "3", KIND_NUMBER, AT(timeout_login_s), 3, NULL, "", "whole number"},
	{"TIMEOUTopen", "3", KIND_NUMBER, AT(timeout_open_s), 3, NULL, "-1", "whole number"},
	{"TIMEOUTsurplus", "3", KIND_NUMBER, AT(timeout_surplus_s), 3, NULL, "0", "1 to 86400 s"},
	{"TIMEOUTdead", "0", KIND_NUMBER, AT(timeout_dead_s), 0, NULL, "-1", "0 to 86400 s"},
	{"aliveInterval", "0", KIND_NUMBER, AT(alive_interval_ms), 0, NULL, "-1", "from 0"},
	{"aliveInterval", "7", KIND_NUMBER, AT(alive_interval_ms), 7000, NULL, "ms",
	 "milliseconds"},
	{"aliveInterval", "20ms", KIND_NUMBER, AT(alive_interval_ms), 20, NULL, "86400001ms",
	 "to 86400"},
	{"aliveInterval", "86400", KIND_NUMBER, AT(alive_interval_ms), 86400000, NULL, "1.5",
	 "whole"},
	{"aliveCount", "1", KIND_NUMBER, AT(alive_count), 1, NULL, "0", "from 1 to 100"},
	{"window", "65536", KIND_NUMBER, AT(window_bytes), 65536, NULL, "65535",
	 "from 65536 to 16777216 bytes"},
	{"window", "16777216", KIND_NUMBER, AT(window_bytes), 16777216, NULL, "1m", "whole number"},
	{"debug", "debug", KIND_NUMBER, AT(debug.level), 7, NULL, "daemon.7", "level only"},
};

static void
check_value(const struct parse_case *test, const void *target)
{
	const void *value = (const char *)target + test->offset;
	const struct text_list *texts = value;

	switch (test->kind) {
	case KIND_NUMBER:
		assert_int_equal(*(const int *)value, test->number);
		break;
	case KIND_BOOL:
		assert_int_equal(*(const bool *)value, test->number);
		break;
	case KIND_TEXT:
		if (test->expected == NULL)
			assert_null(*(char *const *)value);
		else
			assert_string_equal(*(char *const *)value, test->expected);
		break;
	case KIND_TEXTS:
		assert_int_equal(texts->count, 1);
		assert_string_equal(texts->items[0].text, test->expected);
		assert_int_equal(texts->items[0].at.line, 9);
		break;
	}
}

static int
set_environment(void **state ATTR_UNUSED)
{
	return setenv("HOME", "/home/me", 1) != 0 ||
	       setenv("CREDENTIALS_DIRECTORY", "/run/cred", 1) != 0 ||
	       unsetenv("NO_SUCH_VARIABLE_X") != 0;
}

static void
each_option_reads_its_value_and_refuses_a_bad_one(void **state ATTR_UNUSED)
{
	const struct location at = {"f", 9};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		const struct option_row *row = option_find(&bastion_options_table, cases[i].name);
		struct bastion_options options = {0};
		struct err err = {""};
		assert_non_null(row);
		option_set_defaults(&bastion_options_table, &options);
		if (!option_set(row, cases[i].text, at, &options, &err))
			fail_msg("%s = %s: %s", row->name, cases[i].text, err.text);
		check_value(&cases[i], &options);
		assert_false(option_set(row, cases[i].bad, at, &options, &err));
		if (strstr(err.text, cases[i].error) == NULL)
			fail_msg("%s = %s: %s", row->name, cases[i].bad, err.text);
		check_value(&cases[i], &options); /* a bad value changes nothing */
		option_clear_all(&bastion_options_table, &options);
	}
}

static void
rows_are_complete_and_each_has_a_test(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < bastion_options_table.count; i++) {
		const struct option_row *row = &bastion_options_table.rows[i];
		size_t j = 0;
		while (j < ARRAY_LENGTH(cases) && strcmp(cases[j].name, row->name) != 0)
			j++;
		if (j == ARRAY_LENGTH(cases))
			fail_msg("%s", row->name);
		assert_ptr_equal(option_find(&bastion_options_table, row->name), row);
		assert_int_equal(row->treatment, OPTION_HONOURED);
		assert_non_null(row->type);
		assert_non_null(row->help);
		assert_true((row->flags & OPTION_OWN) != 0);
	}
}

static void
defaults_are_those_of_the_manual(void **state ATTR_UNUSED)
{
	struct bastion_options options = {0};

	option_set_defaults(&bastion_options_table, &options);
	assert_null(options.host);
	assert_int_equal(options.port, 22);
	assert_null(options.user);
	assert_null(options.via);
	assert_null(options.proxy_command);
	assert_false(options.is_eager);
	assert_int_equal(options.sessions, 4);
	assert_null(options.identity_agent);
	assert_int_equal(options.host_key_check, HOST_KEY_CHECK_YES);
	assert_int_equal(options.timeout_connect_s, 10);
	assert_int_equal(options.timeout_banner_s, 10);
	assert_int_equal(options.timeout_key_exchange_s, 10);
	assert_int_equal(options.timeout_login_s, 30);
	assert_int_equal(options.timeout_open_s, 10);
	assert_int_equal(options.timeout_surplus_s, 60);
	assert_int_equal(options.alive_interval_ms, 60000);
	assert_int_equal(options.alive_count, 3);
	assert_int_equal(options.window_bytes, 1048576);
	assert_false(options.debug.is_set);
	option_clear_all(&bastion_options_table, &options);
}

static void
lists_grow_in_order(void **state ATTR_UNUSED)
{
	const struct option_row *row = option_find(&bastion_options_table, "identityfile");
	const struct location at = {"f", 9};
	struct bastion_options options = {0};

	assert_true(option_set(row, "/a", at, &options, NULL));
	assert_true(option_set(row, "~/b", at, &options, NULL));
	assert_int_equal(options.identity_file.count, 2);
	assert_string_equal(options.identity_file.items[0].text, "/a");
	assert_string_equal(options.identity_file.items[1].text, "/home/me/b");
	option_clear_all(&bastion_options_table, &options);
}

static void
a_credential_needs_its_directory(void **state ATTR_UNUSED)
{
	static const char *const paths[] = {"%d/key", "${CREDENTIALS_DIRECTORY}/key"};
	struct err err;

	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
		assert_null(user_path_expand(paths[i], &err));
		assert_non_null(strstr(err.text, paths[i]));
		assert_non_null(strstr(err.text, "needs CREDENTIALS_DIRECTORY in the environment"));
	}
}

static void
home_is_the_systems_word_without_the_environments(void **state ATTR_UNUSED)
{
	assert_int_equal(unsetenv("HOME"), 0);
	assert_non_null(user_path_home());
	assert_int_equal(*user_path_home(), '/');
}

static void
other_paths_stay_as_they_are(void **state ATTR_UNUSED)
{
	static const char *const paths[] = {"/a/~/b", "a%d/b", "%dx", "$HOME/x", ""};
	struct err err;

	for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
		char *path = user_path_expand(paths[i], &err);
		assert_string_equal(path, paths[i]);
		free(path);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_option_reads_its_value_and_refuses_a_bad_one,
				       set_environment),
		cmocka_unit_test(rows_are_complete_and_each_has_a_test),
		cmocka_unit_test(defaults_are_those_of_the_manual),
		cmocka_unit_test_setup(lists_grow_in_order, set_environment),
		cmocka_unit_test_setup(a_credential_needs_its_directory, set_environment),
		cmocka_unit_test_setup(home_is_the_systems_word_without_the_environments,
				       set_environment),
		cmocka_unit_test(other_paths_stay_as_they_are),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
