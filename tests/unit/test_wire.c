#include "ssh/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct wire_span
span_of(const char *bytes, size_t length)
{
	return (struct wire_span){(const unsigned char *)bytes, length};
}

static void
what_is_appended_is_read_back(void **state ATTR_UNUSED)
{
	struct buffer buffer;
	struct wire_span text;
	uint32_t number;

	buffer_init(&buffer);
	assert_true(wire_append_u32(&buffer, 0xdeadbeef));
	assert_true(wire_append_text(&buffer, "ssh-rsa"));
	assert_true(wire_append_string(&buffer, "", 0));
	struct wire_span span = {buffer_head(&buffer), buffer_length(&buffer)};
	assert_true(wire_read_u32(&span, &number));
	assert_int_equal(number, 0xdeadbeef);
	assert_true(wire_read_string(&span, &text));
	assert_true(wire_span_is(&text, "ssh-rsa"));
	assert_false(wire_span_is(&text, "ssh-rs"));
	assert_true(wire_read_string(&span, &text));
	assert_true(wire_span_is(&text, ""));
	assert_int_equal(span.length, 0);
	buffer_done(&buffer);
}

static void
what_is_cut_off_is_left_as_it_was(void **state ATTR_UNUSED)
{
	static const char string[] = "\0\0\0\4abcd";
	struct wire_span out;
	uint32_t word;
	uint64_t wide;
	BIGNUM *number = NULL;

	for (size_t length = 0; length < 8; length++) {
		struct wire_span span = span_of(string, length);
		assert_false(wire_read_string(&span, &out));
		assert_false(wire_read_mpint(&span, &number));
		assert_false(wire_read_u64(&span, &wide));
		assert_true(length >= 4 || !wire_read_u32(&span, &word));
		assert_int_equal(span.length, length);
	}
	struct wire_span huge = span_of("\xff\xff\xff\xff"
					"ab",
					6);
	assert_false(wire_read_string(&huge, &out));
}

/* RFC 4251, 5 has these examples. */
static void
numbers_are_as_the_standard_writes_them(void **state ATTR_UNUSED)
{
	static const struct {
		const char *hex;
		const char *wire;
		size_t length;
	} rows[] = {
		{"0", "\0\0\0\0", 4},
		{"9a378f9b2e332a7", "\0\0\0\x08\x09\xa3\x78\xf9\xb2\xe3\x32\xa7", 12},
		{"80", "\0\0\0\2\0\x80", 6},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		BIGNUM *number = NULL;
		BIGNUM *again = NULL;
		struct buffer buffer;
		struct wire_span span = span_of(rows[i].wire, rows[i].length);
		buffer_init(&buffer);
		assert_true(BN_hex2bn(&number, rows[i].hex) > 0);
		assert_true(wire_append_mpint(&buffer, number));
		assert_int_equal(buffer_length(&buffer), rows[i].length);
		assert_memory_equal(buffer_head(&buffer), rows[i].wire, rows[i].length);
		assert_true(wire_read_mpint(&span, &again));
		assert_int_equal(BN_cmp(number, again), 0);
		BN_free(number);
		BN_free(again);
		buffer_done(&buffer);
	}
}

static void
negative_numbers_are_refused(void **state ATTR_UNUSED)
{
	struct wire_span span = span_of("\0\0\0\2\xed\xcc", 6);
	BIGNUM *number = NULL;
	struct buffer buffer;

	assert_false(wire_read_mpint(&span, &number));
	buffer_init(&buffer);
	assert_true(BN_hex2bn(&number, "-1234") > 0);
	assert_false(wire_append_mpint(&buffer, number));
	BN_free(number);
	buffer_done(&buffer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_appended_is_read_back),
		cmocka_unit_test(what_is_cut_off_is_left_as_it_was),
		cmocka_unit_test(numbers_are_as_the_standard_writes_them),
		cmocka_unit_test(negative_numbers_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
