#include "base/log_repeats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { WINDOW_S = 60 };

static const uint64_t second_us = 1000000;

static struct log_repeat
said(const char *text)
{
	struct log_repeat repeat = {.level = LOG_LEVEL_ERROR};

	(void)snprintf(repeat.text, sizeof repeat.text, "%s", text);
	return repeat;
}

static bool
note(struct log_repeats *repeats, const char *text, uint64_t now_us)
{
	struct log_repeat told;
	struct log_repeat line = said(text);
	bool is_new = log_repeats_note(repeats, &line, now_us, &told);

	assert_int_equal(told.more, 0);
	return is_new;
}

static void
the_same_is_counted_for_a_minute_and_then_told(void **state ATTR_UNUSED)
{
	static struct log_repeats repeats;
	struct log_repeat told;

	memset(&repeats, 0, sizeof repeats);
	repeats.window_us = WINDOW_S * second_us;
	assert_true(log_repeats_next_us(&repeats) == UINT64_MAX);
	assert_true(note(&repeats, "a", 5 * second_us));
	assert_true(note(&repeats, "b", 6 * second_us));
	for (uint64_t i = 0; i < 41; i++)
		assert_false(note(&repeats, "a", (10 + i) * second_us));
	assert_true(log_repeats_next_us(&repeats) == (5 + WINDOW_S) * second_us);
	assert_false(log_repeats_take(&repeats, (4 + WINDOW_S) * second_us, false, &told));
	assert_true(log_repeats_take(&repeats, (5 + WINDOW_S) * second_us, false, &told));
	assert_string_equal(told.text, "a");
	assert_int_equal(told.more, 41);
	/* "b" came once: there is nothing to tell. */
	assert_false(log_repeats_take(&repeats, 1000 * second_us, false, &told));
	assert_true(log_repeats_next_us(&repeats) == UINT64_MAX);
	assert_true(note(&repeats, "a", 1000 * second_us));
}

static void
level_and_service_tell_lines_apart(void **state ATTR_UNUSED)
{
	static struct log_repeats repeats;
	struct log_repeat told;
	struct log_repeat line = said("a");

	memset(&repeats, 0, sizeof repeats);
	repeats.window_us = WINDOW_S * second_us;
	assert_true(log_repeats_note(&repeats, &line, second_us, &told));
	line.level = LOG_LEVEL_WARNING;
	assert_true(log_repeats_note(&repeats, &line, second_us, &told));
	(void)snprintf(line.service, sizeof line.service, "redis");
	assert_true(log_repeats_note(&repeats, &line, second_us, &told));
	assert_false(log_repeats_note(&repeats, &line, second_us, &told));
}

/* Whatever comes in whatever order: each line is written or counted, and each count is told. */
static void
no_line_is_lost_from_the_counts(void **state ATTR_UNUSED)
{
	enum { TEXTS = 3 * LOG_REPEATS_SLOTS, LINES = 20000 };
	static struct log_repeats repeats;
	static unsigned long written[TEXTS];
	static unsigned long expected[TEXTS];
	struct log_repeat told;
	char text[16];
	unsigned random = 1;
	unsigned number;

	memset(&repeats, 0, sizeof repeats);
	repeats.window_us = WINDOW_S * second_us;
	for (uint64_t i = 0; i < LINES; i++) {
		uint64_t now_us = second_us + i * 20000; /* 400 s in all */
		random = random * 1103515245 + 12345;
		/* Some texts come much more often than others. */
		number = (random >> 16) % (1 + (random >> 8) % TEXTS);
		(void)snprintf(text, sizeof text, "%u", number);
		struct log_repeat line = said(text);
		expected[number]++;
		if (log_repeats_note(&repeats, &line, now_us, &told))
			written[number]++;
		if (told.more > 0 && sscanf(told.text, "%u", &number) == 1)
			written[number] += told.more;
		while (log_repeats_take(&repeats, now_us, false, &told)) {
			assert_int_equal(sscanf(told.text, "%u", &number), 1);
			written[number] += told.more;
		}
	}
	while (log_repeats_take(&repeats, 0, true, &told)) {
		assert_int_equal(sscanf(told.text, "%u", &number), 1);
		written[number] += told.more;
	}
	for (size_t i = 0; i < TEXTS; i++)
		assert_int_equal(written[i], expected[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_is_counted_for_a_minute_and_then_told),
		cmocka_unit_test(level_and_service_tell_lines_apart),
		cmocka_unit_test(no_line_is_lost_from_the_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
