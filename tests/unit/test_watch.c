/* Who leaves a server that is the primary no longer: the reports of refused writes, by a clock that
 * the tests set. What names say is test_failover.py's matter. */

#include "tunnel/watch.h"

#include "base/attributes.h"
#include "base/clock.h"
#include "config/config.h"
#include "tunnel/health.h"
#include "tunnel/stats.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SECOND_US = 1000000 };

/* In place of the library's. */
static uint64_t now_us;

uint64_t
clock_now_us(void)
{
	return now_us;
}

int64_t
clock_wall_ms(void)
{
	return (int64_t)now_us / 1000;
}

struct place {
	struct event_base *base;
	struct service service;
	struct address endpoint;
	struct health_book book;
	struct stats *stats;
	struct watch *watch;
	unsigned reported;
};

static void
on_demoted(void *arg, const struct watch *watch ATTR_UNUSED,
	   const struct resolved_address *address ATTR_UNUSED)
{
	((struct place *)arg)->reported++;
}

static int
set_up(void **state)
{
	static struct place place;
	static char name[] = "redis";
	static char host[] = "master.demo.test";
	static char port[] = "6379";

	now_us = 1000 * UINT64_C(1000000);
	place = (struct place){
		.base = event_base_new(),
		.service = {.name = name},
		.endpoint = {.host = host, .port = port},
		.stats = stats_new(name),
	};
	assert_non_null(place.base);
	place.service.options.connect.items = &place.endpoint;
	place.service.options.connect.count = 1;
	health_book_init(&place.book);
	const struct watch_request request = {
		.base = place.base,
		.service = &place.service,
		.health = health_book_get(&place.book, place.stats),
		.on_demoted = on_demoted,
		.arg = &place,
	};
	place.watch = watch_new(&request);
	assert_non_null(place.watch);
	*state = &place;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *place = *state;

	watch_free(place->watch);
	health_book_done(&place->book);
	stats_unref(place->stats);
	event_base_free(place->base);
	return 0;
}

static struct resolved_address
server(uint32_t last)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr = {.s_addr = htonl(0x7f000200 + last)},
		.sin_port = htons(6379),
	};
	struct resolved resolved = {.count = 0};

	assert_true(resolved_add(&resolved, (const void *)&address, sizeof address));
	return resolved.items[0];
}

/* As through a bastion. */
static const struct resolved_address unknown;

static void
on_moved(void *arg, const char *why ATTR_UNUSED)
{
	(*(unsigned *)arg)++;
}

/* A tunnel whose server was chosen now. */
static struct watch_user
user_of(struct resolved_address address, unsigned *told)
{
	return (struct watch_user){
		.address = address,
		.chosen_us = now_us,
		.on_moved = on_moved,
		.arg = told,
	};
}

static void
only_those_at_the_server_have_to_leave(void **state)
{
	struct place *place = *state;
	const struct resolved_address one = server(1);
	const struct resolved_address two = server(2);
	unsigned told = 0;
	unsigned other_told = 0;
	struct watch_user users[] = {user_of(one, &told), user_of(one, &told),
				     user_of(two, &other_told)};

	for (size_t i = 0; i < 3; i++)
		watch_join(place->watch, &users[i]);
	watch_report_demoted(place->watch, &one);
	assert_int_equal(told, 2);
	assert_int_equal(other_told, 0);
	assert_int_equal(place->reported, 1);
	watch_leave(&users[2]);
}

static void
who_comes_back_to_it_may_read(void **state)
{
	struct place *place = *state;
	const struct resolved_address one = server(1);
	unsigned told = 0;
	struct watch_user user = user_of(one, &told);

	watch_report_demoted(place->watch, &one);
	now_us += 1;
	user.chosen_us = now_us;
	watch_join(place->watch, &user);
	now_us += 59 * UINT64_C(1000000);
	watch_report_demoted(place->watch, &one);
	assert_int_equal(told, 0);
	assert_int_equal(place->reported, 1);

	now_us += 2 * UINT64_C(1000000); /* a minute after the first report it is news */
	watch_report_demoted(place->watch, &one);
	assert_int_equal(told, 1);
	assert_int_equal(place->reported, 2);
}

static void
who_was_on_the_way_is_told_on_arrival(void **state)
{
	struct place *place = *state;
	const struct resolved_address one = server(1);
	unsigned told = 0;
	struct watch_user late = user_of(one, &told);
	struct watch_user elsewhere = user_of(server(2), &told);
	struct watch_user later;

	now_us += SECOND_US;
	watch_report_demoted(place->watch, &one);
	now_us += SECOND_US;
	watch_join(place->watch, &late);
	assert_int_equal(told, 1);
	watch_join(place->watch, &elsewhere);
	later = user_of(one, &told); /* it knows, and comes for reading */
	watch_join(place->watch, &later);
	assert_int_equal(told, 1);
	watch_leave(&elsewhere);
	watch_leave(&later);
}

static void
beyond_a_bastion_a_later_report_is_another_failover(void **state)
{
	struct place *place = *state;
	unsigned told = 0;
	struct watch_user users[] = {user_of(unknown, &told), user_of(unknown, &told)};

	watch_join(place->watch, &users[0]);
	watch_report_demoted(place->watch, &unknown);
	assert_int_equal(told, 1);

	now_us += SECOND_US;
	users[1].chosen_us = now_us;
	watch_join(place->watch, &users[1]);
	now_us += 10 * UINT64_C(1000000); /* the name has perhaps not followed yet */
	watch_report_demoted(place->watch, &unknown);
	assert_int_equal(told, 1);
	now_us += 10 * UINT64_C(1000000);
	watch_report_demoted(place->watch, &unknown);
	assert_int_equal(told, 2);
	assert_int_equal(place->reported, 2);
}

static void
a_demoted_server_is_left_out_for_a_while(void **state)
{
	struct place *place = *state;
	const struct resolved_address one = server(1);
	struct resolved answer = {.count = 2, .items = {server(1), server(2)}};

	watch_report_demoted(place->watch, &one);
	watch_leave_out_demoted(place->watch, &answer);
	assert_int_equal(answer.count, 1);
	assert_false(resolved_contains(&answer, &one));

	now_us += 11 * UINT64_C(1000000);
	answer = (struct resolved){.count = 1, .items = {server(1)}};
	watch_leave_out_demoted(place->watch, &answer);
	assert_int_equal(answer.count, 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_those_at_the_server_have_to_leave, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(who_comes_back_to_it_may_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_was_on_the_way_is_told_on_arrival, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(beyond_a_bastion_a_later_report_is_another_failover,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_demoted_server_is_left_out_for_a_while, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
