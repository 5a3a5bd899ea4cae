#include "base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
an_empty_buffer_owns_no_memory(void **state ATTR_UNUSED)
{
	struct buffer buffer;

	buffer_init(&buffer);
	assert_int_equal(buffer_length(&buffer), 0);
	assert_true(buffer_append(&buffer, "abc", 3));
	buffer_consume(&buffer, 3);
	assert_null(buffer.data);
	assert_int_equal(buffer.capacity, 0);
}

static void
bytes_come_out_in_the_order_they_went_in(void **state ATTR_UNUSED)
{
	struct buffer buffer;

	buffer_init(&buffer);
	assert_true(buffer_append(&buffer, "abcd", 4));
	buffer_consume(&buffer, 3);
	assert_true(buffer_append(&buffer, "efg", 3));
	assert_int_equal(buffer_length(&buffer), 4);
	assert_memory_equal(buffer_head(&buffer), "defg", 4);
	buffer_done(&buffer);
}

static void
appending_nothing_changes_nothing(void **state ATTR_UNUSED)
{
	struct buffer buffer;

	buffer_init(&buffer);
	assert_true(buffer_append(&buffer, "", 0));
	assert_null(buffer.data);
}

static void
a_failed_append_leaves_the_content(void **state ATTR_UNUSED)
{
	struct buffer buffer;

	buffer_init(&buffer);
	assert_true(buffer_append(&buffer, "abc", 3));
	assert_false(buffer_append(&buffer, "x", SIZE_MAX));
	assert_int_equal(buffer_length(&buffer), 3);
	assert_memory_equal(buffer_head(&buffer), "abc", 3);
	buffer_done(&buffer);
}

static void
any_mix_of_steps_keeps_every_byte(void **state ATTR_UNUSED)
{
	struct buffer buffer;
	unsigned char next_in = 0;
	unsigned char next_out = 0;

	buffer_init(&buffer);
	for (unsigned i = 0; i < 2000; i++) {
		unsigned char bytes[64];
		size_t added = (i * 7) % sizeof bytes;
		for (size_t j = 0; j < added; j++)
			bytes[j] = next_in++;
		assert_true(buffer_append(&buffer, bytes, added));
		size_t taken = (i * 11) % 64;
		if (taken > buffer_length(&buffer))
			taken = buffer_length(&buffer);
		for (size_t j = 0; j < taken; j++)
			assert_int_equal(buffer_head(&buffer)[j], next_out++);
		buffer_consume(&buffer, taken);
	}
	buffer_done(&buffer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_buffer_owns_no_memory),
		cmocka_unit_test(bytes_come_out_in_the_order_they_went_in),
		cmocka_unit_test(appending_nothing_changes_nothing),
		cmocka_unit_test(a_failed_append_leaves_the_content),
		cmocka_unit_test(any_mix_of_steps_keeps_every_byte),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
