#include "tunnel/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MS = 1000 };

static void
test_nothing_is_left_before_a_failure(void **state)
{
	struct backoff backoff = {0};

	(void)state;
	assert_int_equal(backoff_left_us(&backoff, 0), 0);
	assert_int_equal(backoff_left_us(&backoff, UINT64_MAX), 0);
}

/* Spread: three quarters to five quarters of the nominal pause. */
static void
expect_pause(struct backoff *backoff, uint64_t *now_us, bool is_refused, uint64_t nominal_ms)
{
	uint64_t pause = backoff_fail(backoff, *now_us, is_refused);

	assert_in_range(pause, nominal_ms * MS * 3 / 4, nominal_ms * MS * 5 / 4);
	assert_int_equal(backoff_left_us(backoff, *now_us), pause);
	assert_int_equal(backoff_left_us(backoff, *now_us + pause - 1), 1);
	*now_us += pause;
	assert_int_equal(backoff_left_us(backoff, *now_us), 0);
}

static void
test_pauses_double_up_to_the_longest(void **state)
{
	static const uint64_t nominal_ms[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
	struct backoff backoff = {0};
	uint64_t now_us = 12345;

	(void)state;
	for (size_t i = 0; i < sizeof nominal_ms / sizeof nominal_ms[0]; i++)
		expect_pause(&backoff, &now_us, false, nominal_ms[i]);
}

static void
test_refusals_pause_longer(void **state)
{
	static const uint64_t nominal_ms[] = {5000,  10000,  20000,  40000,
					      80000, 160000, 300000, 300000};
	struct backoff backoff = {0};
	uint64_t now_us = 0;

	(void)state;
	for (size_t i = 0; i < sizeof nominal_ms / sizeof nominal_ms[0]; i++)
		expect_pause(&backoff, &now_us, true, nominal_ms[i]);
}

static void
test_failures_during_a_pause_count_once(void **state)
{
	struct backoff backoff = {0};
	uint64_t now_us = 1;

	(void)state;
	(void)backoff_fail(&backoff, now_us, false);
	for (int i = 0; i < 10; i++)
		(void)backoff_fail(&backoff, now_us, false);
	now_us += backoff_left_us(&backoff, now_us);
	expect_pause(&backoff, &now_us, false, 1000);
}

static void
test_success_begins_anew(void **state)
{
	struct backoff backoff = {0};
	uint64_t now_us = 1;

	(void)state;
	for (int i = 0; i < 6; i++)
		now_us += backoff_fail(&backoff, now_us, false);
	(void)backoff_fail(&backoff, now_us, false);
	backoff_reset(&backoff);
	now_us += backoff_left_us(&backoff, now_us);
	expect_pause(&backoff, &now_us, false, 500);
}

/* Whoever looks at `failures` is to see that the last thing that happened was one. */
static void
test_failure_after_a_success_counts_in_a_pause_too(void **state)
{
	struct backoff backoff = {0};
	uint64_t now_us = 1;

	(void)state;
	(void)backoff_fail(&backoff, now_us, false);
	backoff_reset(&backoff);
	assert_int_not_equal(backoff_left_us(&backoff, now_us), 0);
	(void)backoff_fail(&backoff, now_us, false);
	assert_int_equal(backoff.failures, 1);
	(void)backoff_fail(&backoff, now_us, false);
	assert_int_equal(backoff.failures, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_left_before_a_failure),
		cmocka_unit_test(test_pauses_double_up_to_the_longest),
		cmocka_unit_test(test_refusals_pause_longer),
		cmocka_unit_test(test_failures_during_a_pause_count_once),
		cmocka_unit_test(test_success_begins_anew),
		cmocka_unit_test(test_failure_after_a_success_counts_in_a_pause_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
