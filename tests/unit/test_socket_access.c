#include "config/socket_access.h"

#include "config_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct option_row mode_row = {.name = "socketMode", .type = &option_type_file_mode};
static const struct option_row user_row = {.name = "allowUser", .type = &option_type_users};

static void
modes_are_octal(void **state ATTR_UNUSED)
{
	static const struct {
		const char *text;
		int mode; /* -1: refused */
	} cases[] = {
		{"0660", 0660}, {"660", 0660}, {"000", 0},   {"0777", 0777}, {"60", -1},
		{"1777", -1},   {"0680", -1},  {"", -1},     {"-660", -1},   {"00660", -1},
		{"0660 ", -1},  {"rw", -1},    {"0x1f", -1},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int mode = SOCKET_MODE_UNSET;
		struct err err = {.text = ""};
		bool is_good = option_set(&mode_row, cases[i].text, (struct location){0}, &mode,
					  &err);
		if (is_good != (cases[i].mode >= 0) || mode != cases[i].mode)
			fail_msg("%s: %o", cases[i].text, (unsigned)mode);
		if (!is_good)
			assert_non_null(strstr(err.text, "three octal digits"));
	}
}

static void
users_add_up_by_name_and_number(void **state ATTR_UNUSED)
{
	struct user_list list = {0};
	struct user_list other = {0};
	struct err err = {.text = ""};

	assert_false(user_list_has(&list, 0));
	assert_true(option_set(&user_row, "root", (struct location){0}, &list, &err));
	assert_true(option_type_users.is_equal(&other, &other));
	assert_false(option_type_users.is_equal(&list, &other));
	assert_true(option_set(&user_row, "0", (struct location){0}, &other, &err));
	assert_true(option_type_users.is_equal(&list, &other));
	assert_true(option_set(&user_row, "4711", (struct location){0}, &list, &err));
	assert_false(option_set(&user_row, "no-such-user", (struct location){0}, &list, &err));
	assert_non_null(strstr(err.text, "'no-such-user' must be a user of this system"));
	assert_int_equal(list.count, 2);
	assert_true(user_list_has(&list, 0));
	assert_true(user_list_has(&list, 4711));
	assert_false(user_list_has(&list, 4712));
	assert_false(option_type_users.is_equal(&list, &other));
	option_type_users.clear(&list);
	option_type_users.clear(&other);
	assert_int_equal(list.count, 0);
}

static void
users_are_asked_for_at_unix_sockets_only(void **state ATTR_UNUSED)
{
	static const char tcp[] = "[a]\nclient = yes\nconnect = h:1\naccept = 6379\n";
	static const char both[] =
		"[a]\nclient = yes\nconnect = h:1\naccept = /a.sock\naccept = 1\nallowUser = 0\n";
	static const char local[] = "[a]\nclient = yes\nconnect = h:1\naccept = /a.sock\n"
				    "allowUser = 0\nsocketMode = 0666\n";
	char text[256];

	(void)snprintf(text, sizeof text, "%sallowUser = root\n", tcp);
	assert_fails(text, "'allowUser' needs Unix sockets");
	(void)snprintf(text, sizeof text, "allowUser = root\n%s", tcp);
	assert_fails(text, "'allowUser' needs Unix sockets");
	assert_fails(both, "'allowUser' needs Unix sockets");
	(void)snprintf(text, sizeof text, "%ssocketMode = 0660\n", tcp);
	assert_loads(text, REPORT_WARNING, "'socketMode' has no effect");
	struct loaded loaded = load(local);
	assert_int_equal(report_count(loaded.report, REPORT_WARNING), 0);
	assert_int_equal(loaded.config->services[0]->options.socket_mode, 0666);
	assert_int_equal(loaded.config->services[0]->options.allow_user.count, 1);
	unload(&loaded);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modes_are_octal),
		cmocka_unit_test(users_add_up_by_name_and_number),
		cmocka_unit_test(users_are_asked_for_at_unix_sockets_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
