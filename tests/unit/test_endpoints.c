#include "tunnel/endpoints.h"

#include "base/attributes.h"
#include "tunnel/dialer.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 3 };

/* Endpoints that nobody ever reaches: what is chosen depends on what is told. */
struct bench {
	struct address addresses[COUNT];
	struct service service;
	struct setup_service setup;
	struct event_base *base;
	struct endpoints *endpoints;
};

static void
begin(struct bench *bench, enum failover failover)
{
	static char host[] = "127.0.0.1";
	static char port[] = "1";
	static char name[] = "test";

	memset(bench, 0, sizeof *bench);
	for (size_t i = 0; i < COUNT; i++)
		bench->addresses[i] = (struct address){.host = host, .port = port};
	bench->service.name = name;
	bench->service.options.connect.items = bench->addresses;
	bench->service.options.connect.count = COUNT;
	bench->service.options.failover = (int)failover;
	bench->setup.service = &bench->service;
	bench->base = event_base_new();
	assert_non_null(bench->base);
	const struct dial_request check = {
		.base = bench->base,
		.service = &bench->setup,
		.log = &log_main,
	};
	bench->endpoints = endpoints_new(&check);
	assert_non_null(bench->endpoints);
}

static void
end(struct bench *bench)
{
	endpoints_free(bench->endpoints);
	event_base_free(bench->base);
}

static void
strike(struct bench *bench, size_t index)
{
	struct err err = {{0}};

	(void)err_set(&err, "connection refused");
	endpoints_note_failure(bench->endpoints, index, &err);
}

/* One that is in use for a moment only. */
static size_t
visit(struct bench *bench)
{
	const bool is_tried[COUNT] = {false};
	size_t index = endpoints_take(bench->endpoints, is_tried);

	endpoints_leave(bench->endpoints, index);
	return index;
}

static bool
is_up(const struct bench *bench, size_t index)
{
	struct endpoint_view view;

	endpoints_view(bench->endpoints, index, &view);
	assert_int_equal(view.is_up, view.reason == NULL);
	return view.is_up;
}

static void
prio_takes_the_first_that_is_up(void **state ATTR_UNUSED)
{
	struct bench bench;

	begin(&bench, FAILOVER_PRIO);
	assert_int_equal(visit(&bench), 0);
	assert_int_equal(visit(&bench), 0);
	assert_true(endpoints_is_wanted(bench.endpoints, 0));
	assert_false(endpoints_is_wanted(bench.endpoints, 1));
	strike(&bench, 0);
	assert_false(is_up(&bench, 0));
	assert_int_equal(visit(&bench), 1);
	assert_true(endpoints_is_wanted(bench.endpoints, 1));
	strike(&bench, 1);
	assert_int_equal(visit(&bench), 2);
	endpoints_note_success(bench.endpoints, 0);
	assert_int_equal(visit(&bench), 0);
	end(&bench);
}

static void
rr_takes_those_that_are_up_in_turn(void **state ATTR_UNUSED)
{
	struct bench bench;

	begin(&bench, FAILOVER_RR);
	size_t first = visit(&bench);
	size_t second = visit(&bench);
	size_t third = visit(&bench);
	assert_int_equal(first + second + third, 3);
	assert_int_equal(visit(&bench), first);
	strike(&bench, second);
	assert_int_equal(visit(&bench), third);
	assert_int_equal(visit(&bench), first);
	assert_int_equal(visit(&bench), third);
	end(&bench);
}

static void
least_takes_the_one_with_the_fewest(void **state ATTR_UNUSED)
{
	const bool is_tried[COUNT] = {false};
	struct bench bench;
	unsigned met[COUNT] = {0};

	begin(&bench, FAILOVER_LEAST);
	for (int i = 0; i < 4 * COUNT; i++)
		met[endpoints_take(bench.endpoints, is_tried)]++;
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(met[i], 4);
	endpoints_leave(bench.endpoints, 1);
	endpoints_leave(bench.endpoints, 1);
	assert_int_equal(endpoints_take(bench.endpoints, is_tried), 1);
	assert_int_equal(endpoints_take(bench.endpoints, is_tried), 1);
	endpoints_leave(bench.endpoints, 2);
	strike(&bench, 2);
	assert_int_not_equal(visit(&bench), 2);
	for (int i = 0; i < 4; i++) {
		endpoints_leave(bench.endpoints, 0);
		endpoints_leave(bench.endpoints, 1);
	}
	for (int i = 0; i < 3; i++)
		endpoints_leave(bench.endpoints, 2);
	end(&bench);
}

static void
those_that_are_down_are_tried_last_and_all_the_same(void **state ATTR_UNUSED)
{
	bool is_tried[COUNT] = {false};
	struct bench bench;
	const size_t order[COUNT] = {1, 0, 2};

	begin(&bench, FAILOVER_PRIO);
	strike(&bench, 0);
	strike(&bench, 2);
	for (size_t i = 0; i < COUNT; i++) {
		size_t index = endpoints_take(bench.endpoints, is_tried);
		assert_int_equal(index, order[i]);
		endpoints_leave(bench.endpoints, index);
		is_tried[index] = true;
	}
	end(&bench);
}

static void
what_is_told_of_one_that_is_down_is_its_last_failure(void **state ATTR_UNUSED)
{
	struct endpoint_view view;
	struct err err = {{0}};
	struct bench bench;

	begin(&bench, FAILOVER_PRIO);
	endpoints_view(bench.endpoints, 0, &view);
	assert_true(view.is_up && view.since_us == 0);
	strike(&bench, 0);
	endpoints_view(bench.endpoints, 0, &view);
	assert_true(view.since_us > 0);
	assert_string_equal(view.reason, "connection refused");
	uint64_t since_us = view.since_us;
	(void)err_set(&err, "timed out");
	endpoints_note_failure(bench.endpoints, 0, &err);
	endpoints_view(bench.endpoints, 0, &view);
	assert_string_equal(view.reason, "timed out");
	assert_true(view.since_us == since_us); /* the same outage */
	end(&bench);
}

/* Runs the loop until the endpoint's next check has failed, too. */
static void
a_check_that_fails_leaves_it_down_and_is_repeated(void **state ATTR_UNUSED)
{
	struct endpoint_view view;
	struct bench bench;

	begin(&bench, FAILOVER_PRIO);
	strike(&bench, 0);
	endpoints_check_now(
		bench.endpoints); /* to a path that is no socket: fails without waiting */
	static char path[] = "/nonexistent/redis.sock";
	bench.addresses[0] = (struct address){.path = path};
	do {
		assert_int_equal(event_base_loop(bench.base, EVLOOP_ONCE), 0);
		endpoints_view(bench.endpoints, 0, &view);
	} while (strcmp(view.reason, "connection refused") == 0);
	assert_false(is_up(&bench, 0));
	assert_non_null(strstr(view.reason, path));
	/* Retired, the loop has nothing left to wait for. */
	endpoints_retire(bench.endpoints);
	assert_int_equal(event_base_loop(bench.base, 0), 1);
	end(&bench);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prio_takes_the_first_that_is_up),
		cmocka_unit_test(rr_takes_those_that_are_up_in_turn),
		cmocka_unit_test(least_takes_the_one_with_the_fewest),
		cmocka_unit_test(those_that_are_down_are_tried_last_and_all_the_same),
		cmocka_unit_test(what_is_told_of_one_that_is_down_is_its_last_failure),
		cmocka_unit_test(a_check_that_fails_leaves_it_down_and_is_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
