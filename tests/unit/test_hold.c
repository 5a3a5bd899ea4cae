/* Where clients wait: who may, for how long, and who goes when somebody comes through. */

#include "tunnel/hold.h"

#include "base/clock.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MOST = 4096 };

static const uint64_t soon_us = 60 * UINT64_C(1000000);

struct place {
	struct event_base *base;
	struct hold *hold;
	struct hold_seat *seats; /* MOST and one more */
	unsigned gone;
	unsigned given_up;
};

static void
on_go(void *arg)
{
	((struct place *)arg)->gone++;
}

static void
on_give_up(void *arg)
{
	((struct place *)arg)->given_up++;
}

static int
set_up(void **state)
{
	struct place *place = calloc(1, sizeof *place);

	assert_non_null(place);
	place->base = event_base_new();
	assert_non_null(place->base);
	place->hold = hold_new(place->base);
	assert_non_null(place->hold);
	place->seats = calloc(MOST + 1, sizeof *place->seats);
	assert_non_null(place->seats);
	*state = place;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *place = *state;

	for (size_t i = 0; i <= MOST; i++)
		hold_leave(&place->seats[i], false);
	hold_free(place->hold);
	event_base_free(place->base);
	free(place->seats);
	free(place);
	return 0;
}

static struct hold_seat *
enter(struct place *place, size_t index, uint64_t span_us)
{
	struct hold_seat *seat = &place->seats[index];

	seat->deadline_us = clock_now_us() + span_us;
	seat->on_go = on_go;
	seat->on_give_up = on_give_up;
	seat->arg = place;
	hold_enter(place->hold, seat);
	return seat;
}

static void
run_what_is_due(const struct place *place)
{
	assert_true(event_base_loop(place->base, EVLOOP_NONBLOCK) >= 0);
}

static void
no_more_than_so_many_wait(void **state)
{
	struct place *place = *state;

	for (size_t i = 0; i < MOST; i++)
		assert_true(hold_park(enter(place, i, soon_us)));
	struct hold_seat *last = enter(place, MOST, soon_us);
	assert_false(hold_park(last));
	assert_int_equal(hold_count(place->hold), MOST);

	hold_leave(&place->seats[7], false);
	assert_true(hold_park(last));
	assert_int_equal(hold_count(place->hold), MOST);
}

static void
nobody_waits_beyond_the_deadline(void **state)
{
	struct place *place = *state;

	assert_false(hold_park(enter(place, 0, 0)));
	assert_int_equal(hold_count(place->hold), 0);

	assert_true(hold_park(enter(place, 1, 1000)));
	while (place->given_up == 0)
		assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
	assert_int_equal(place->gone, 0);
	assert_int_equal(hold_count(place->hold), 0);
}

static void
the_deadline_counts_while_trying_too(void **state)
{
	struct place *place = *state;

	assert_true(hold_park(enter(place, 0, 300 * 1000)));
	while (place->gone == 0) /* it tries, and never comes to an end */
		assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
	assert_int_equal(place->given_up, 0);
	while (place->given_up == 0)
		assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
	assert_int_equal(place->gone, 1);
}

static void
who_has_never_waited_has_time(void **state)
{
	struct place *place = *state;

	(void)enter(place, 0, 1000); /* dials, by its own limits */
	assert_true(hold_park(enter(place, 1, 200 * 1000)));
	while (place->given_up == 0)
		assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
	assert_int_equal(place->given_up, 1);
	assert_false(place->seats[1].is_held);
	assert_ptr_equal(place->seats[0].hold, place->hold);
}

static void
a_late_comer_does_not_wait_longer_for_others(void **state)
{
	struct place *place = *state;

	assert_true(hold_park(enter(place, 0, soon_us)));
	while (place->gone < 6) { /* until pauses are long */
		assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
		if (!place->seats[0].is_parked)
			assert_true(hold_park(&place->seats[0]));
	}
	assert_true(hold_park(enter(place, 1, 20 * 1000)));
	while (place->given_up == 0)
		assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
	assert_int_equal(place->gone, 6); /* before the next one tries */
}

static void
one_tries_for_all(void **state)
{
	struct place *place = *state;

	for (size_t i = 0; i < 10; i++)
		assert_true(hold_park(enter(place, i, soon_us)));
	while (place->gone == 0)
		assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
	assert_int_equal(place->gone, 1);
	assert_int_equal(hold_count(place->hold), 9);

	hold_leave(&place->seats[0], true);
	assert_int_equal(place->gone, 1); /* nobody's callbacks are called from there */
	run_what_is_due(place);
	assert_int_equal(place->gone, 10);
	assert_int_equal(hold_count(place->hold), 0);
}

static void
those_who_wait_take_turns(void **state)
{
	struct place *place = *state;

	for (size_t i = 0; i < 3; i++)
		assert_true(hold_park(enter(place, i, soon_us)));
	for (size_t i = 0; i < 6; i++) {
		struct hold_seat *trying = &place->seats[i % 3];
		while (place->gone == i)
			assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
		assert_false(trying->is_parked);
		assert_int_equal(hold_count(place->hold), 2);
		assert_true(hold_park(trying));
	}
}

static void
who_is_overtaken_begins_anew(void **state)
{
	struct place *place = *state;
	struct hold_seat *stuck = enter(place, 0, soon_us);
	struct hold_seat *slow = enter(place, 1, soon_us);
	struct hold_seat *through = enter(place, 2, soon_us);

	stuck->since_us = through->since_us - 1000 * 1000;
	slow->since_us = through->since_us - 999 * 1000;
	hold_leave(through, true);
	run_what_is_due(place);
	assert_int_equal(place->gone, 1);
	assert_true(stuck->since_us >= through->since_us);

	hold_leave(slow, true); /* which was begun with before the other one was, anew */
	run_what_is_due(place);
	assert_int_equal(place->gone, 1);
}

static void
all_learn_why_the_last_dial_failed(void **state)
{
	struct place *place = *state;
	struct err err = {{0}};

	(void)err_set(&err, "nobody is there");
	(void)err_mark(&err, ERR_NAME_STALE);
	hold_note_failure(place->hold, &err);
	assert_string_equal(hold_failure(place->hold)->text, "nobody is there");
	assert_int_equal(hold_failure(place->hold)->kind, ERR_NAME_STALE);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_more_than_so_many_wait, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nobody_waits_beyond_the_deadline, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_deadline_counts_while_trying_too, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(who_has_never_waited_has_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_late_comer_does_not_wait_longer_for_others,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_tries_for_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(those_who_wait_take_turns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_is_overtaken_begins_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(all_learn_why_the_last_dial_failed, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
