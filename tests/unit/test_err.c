#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
setting_an_error_replaces_its_text_and_returns_false(void **state ATTR_UNUSED)
{
	struct err err = {"old"};

	assert_false(err_set(&err, "no %s at %d", "cache", 7));
	assert_string_equal(err.text, "no cache at 7");
}

static void
an_errno_is_spelled_out_after_the_text(void **state ATTR_UNUSED)
{
	struct err err;

	assert_false(err_set_errno(&err, ENOENT, "cannot open '%s'", "x"));
	assert_non_null(strstr(err.text, "cannot open 'x': No such file"));
}

static void
wrapping_puts_the_context_in_front(void **state ATTR_UNUSED)
{
	struct err err;

	(void)err_set(&err, "refused");
	assert_false(err_wrap(&err, "connecting to %s", "h:1"));
	assert_string_equal(err.text, "connecting to h:1: refused");
}

static void
kind_stays_with_the_text_that_it_was_said_of(void **state ATTR_UNUSED)
{
	struct err err;

	(void)err_set(&err, "no such name");
	assert_int_equal(err.kind, ERR_OTHER);
	assert_false(err_mark(&err, ERR_NAME_UNKNOWN));
	(void)err_wrap(&err, "looking up");
	assert_int_equal(err.kind, ERR_NAME_UNKNOWN);
	(void)err_set(&err, "another");
	assert_int_equal(err.kind, ERR_OTHER);
}

static void
errno_tells_the_kind(void **state ATTR_UNUSED)
{
	static const struct {
		int errno_value;
		enum err_kind kind;
	} cases[] = {
		{ETIMEDOUT, ERR_TIMEOUT},       {ECONNREFUSED, ERR_REFUSED},
		{ENETUNREACH, ERR_UNREACHABLE}, {EHOSTUNREACH, ERR_UNREACHABLE},
		{ENETDOWN, ERR_UNREACHABLE},    {EMFILE, ERR_EXHAUSTED},
		{ENOMEM, ERR_EXHAUSTED},        {ECONNRESET, ERR_DISCONNECTED},
		{EPIPE, ERR_DISCONNECTED},      {EIO, ERR_OTHER},
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		(void)err_set_errno(&err, cases[i].errno_value, "connecting");
		assert_int_equal(err.kind, cases[i].kind);
	}
}

static void
nobody_needs_to_want_the_text(void **state ATTR_UNUSED)
{
	assert_false(err_set(NULL, "x"));
	assert_false(err_set_errno(NULL, EIO, "x"));
	assert_false(err_wrap(NULL, "x"));
	assert_false(err_mark(NULL, ERR_LOGIN));
}

static void
long_text_is_cut_and_stays_terminated(void **state ATTR_UNUSED)
{
	char text[2 * ERR_TEXT_SIZE];
	struct err err;

	memset(text, 'a', sizeof text);
	text[sizeof text - 1] = '\0';
	(void)err_set(&err, "%s", text);
	assert_int_equal(strlen(err.text), ERR_TEXT_SIZE - 1);
	(void)err_wrap(&err, "%s", text);
	assert_int_equal(strlen(err.text), ERR_TEXT_SIZE - 1);
	(void)err_set_errno(&err, EIO, "%s", text);
	assert_int_equal(strlen(err.text), ERR_TEXT_SIZE - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(setting_an_error_replaces_its_text_and_returns_false),
		cmocka_unit_test(an_errno_is_spelled_out_after_the_text),
		cmocka_unit_test(wrapping_puts_the_context_in_front),
		cmocka_unit_test(kind_stays_with_the_text_that_it_was_said_of),
		cmocka_unit_test(errno_tells_the_kind),
		cmocka_unit_test(nobody_needs_to_want_the_text),
		cmocka_unit_test(long_text_is_cut_and_stays_terminated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
