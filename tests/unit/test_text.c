#include "base/text.h"

#include "base/attributes.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
comparison_ignores_the_case_of_ascii_letters_only(void **state ATTR_UNUSED)
{
	assert_true(text_equal_nocase("CAfile", "cafILE"));
	assert_true(text_equal_nocase("", ""));
	assert_false(text_equal_nocase("a", "ab"));
	assert_false(text_equal_nocase("[", "{"));
	assert_false(text_equal_nocase("\xc4", "\xe4"));
}

static void
trimming_cuts_white_space_off_both_ends(void **state ATTR_UNUSED)
{
	static const struct {
		const char *in;
		const char *out;
	} cases[] = {{"", ""},
		     {"  ", ""},
		     {"a", "a"},
		     {" a b ", "a b"},
		     {"\t\r\n\v\fx\r\n", "x"},
		     {"\xa0y", "\xa0y"}};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		char text[32];
		strcpy(text, cases[i].in);
		assert_string_equal(text_trim(text), cases[i].out);
	}
}

static void
escaping_leaves_nothing_that_moves_a_cursor(void **state ATTR_UNUSED)
{
	char out[16];

	assert_string_equal(text_escape(out, sizeof out, "a\x1b[2J\n\x7f\xc3\xa9z"), "a.[2J....z");
	assert_string_equal(text_escape(out, 4, "abcdef"), "abc");
	assert_string_equal(text_escape(out, 1, "abc"), "");
	out[0] = 'q';
	(void)text_escape(out, 0, "abc");
	assert_int_equal(out[0], 'q');
}

static void
distance_counts_single_letter_changes(void **state ATTR_UNUSED)
{
	assert_int_equal(text_distance("connect", "CONNECT"), 0);
	assert_int_equal(text_distance("conect", "connect"), 1);
	assert_int_equal(text_distance("kitten", "sitting"), 3);
	assert_int_equal(text_distance("", "abc"), 3);
	assert_int_equal(text_distance("abc", ""), 3);
}

static void
distance_looks_at_forty_bytes(void **state ATTR_UNUSED)
{
	char left[100];
	char right[100];

	memset(left, 'a', sizeof left - 1);
	memset(right, 'a', sizeof right - 1);
	left[99] = right[99] = '\0';
	right[60] = 'b';
	assert_int_equal(text_distance(left, right), 0);
}

static void
numbers_are_whole_decimal_and_within_bounds(void **state ATTR_UNUSED)
{
	static const char *const bad[] = {"",     "-",   " 1",  "1 ", "+1",
					  "0x10", "1.5", "101", "-6", "99999999999999999999",
					  "abc"};
	long value = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		assert_false(text_to_long(bad[i], -5, 100, &value));
	assert_true(text_to_long("-5", -5, 100, &value));
	assert_int_equal(value, -5);
	assert_true(text_to_long("0100", -5, 100, &value));
	assert_int_equal(value, 100);
	assert_true(text_to_long("9223372036854775807", 0, LONG_MAX, &value) ||
		    LONG_MAX < INT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparison_ignores_the_case_of_ascii_letters_only),
		cmocka_unit_test(trimming_cuts_white_space_off_both_ends),
		cmocka_unit_test(escaping_leaves_nothing_that_moves_a_cursor),
		cmocka_unit_test(distance_counts_single_letter_changes),
		cmocka_unit_test(distance_looks_at_forty_bytes),
		cmocka_unit_test(numbers_are_whole_decimal_and_within_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
