/* What is remembered of a name, and for how long, by a clock and name servers that the tests set.
 * How names are asked for over a network is test_resolving.py's matter. */

#include "tunnel/resolver.h"

#include "base/attributes.h"
#include "base/clock.h"
#include "config/options.h"
#include "tunnel/dns.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { HOUR_S = 3600 };

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

static void
pass_seconds(uint64_t seconds)
{
	now_us += seconds * 1000000;
}

/* Name servers that answer at once, with this. */
static struct dns_answer next_answer;
static unsigned asked;

struct dns {
	int nothing;
};

struct dns *
dns_new(struct event_base *base ATTR_UNUSED)
{
	return calloc(1, sizeof(struct dns));
}

void
dns_free(struct dns *dns)
{
	free(dns);
}

void
dns_set_servers(struct dns *dns ATTR_UNUSED, const char *servers ATTR_UNUSED)
{
}

bool
dns_refresh(struct dns *dns ATTR_UNUSED)
{
	return false;
}

void
dns_ask(struct dns *dns ATTR_UNUSED, const char *host ATTR_UNUSED, dns_answer_cb *on_answer,
	void *arg)
{
	asked++;
	on_answer(arg, &next_answer);
}

static void
answer_with(uint32_t last, int fresh_s)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr = {.s_addr = htonl(0x7f000000 + last)},
	};

	next_answer = (struct dns_answer){.status = DNS_FOUND, .addresses.fresh_s = fresh_s};
	assert_true(resolved_add(&next_answer.addresses, (const void *)&address, sizeof address));
}

static void
answer_nothing(enum dns_status status)
{
	next_answer = (struct dns_answer){.status = status, .reason = "for a test"};
}

/* What a lookup came to. */
struct outcome {
	bool is_over;
	uint32_t last; /* byte of the address; 0: none */
	bool is_stale;
	enum err_kind kind;
};

struct place {
	struct event_base *base;
	struct resolver *resolver;
};

static void
on_done(void *arg, const struct resolved *resolved, const struct err *err)
{
	struct outcome *outcome = arg;

	outcome->is_over = true;
	if (resolved == NULL) {
		outcome->kind = err->kind;
		return;
	}
	const struct sockaddr_in *address = (const void *)&resolved->items[0].storage;
	outcome->last = ntohl(address->sin_addr.s_addr) & 0xff;
	outcome->is_stale = resolved->is_stale;
}

static struct outcome
look_up(struct place *place)
{
	struct outcome outcome = {.is_over = false};

	assert_non_null(resolver_start(place->resolver, "name.test", "1", on_done, &outcome));
	while (!outcome.is_over)
		assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
	return outcome;
}

static int
set_up(void **state)
{
	static struct place place;
	const struct global_options options = {.dns_cache_s = 5};

	now_us = 1000 * UINT64_C(1000000);
	asked = 0;
	place.base = event_base_new();
	assert_non_null(place.base);
	place.resolver = resolver_new(place.base);
	assert_non_null(place.resolver);
	resolver_configure(place.resolver, &options);
	*state = &place;
	return 0;
}

static int
tear_down(void **state)
{
	const struct place *place = *state;

	resolver_free(place->resolver);
	event_base_free(place->base);
	return 0;
}

static void
an_answer_is_used_for_as_long_as_it_says_and_the_cache_allows(void **state)
{
	answer_with(1, 2);
	assert_int_equal(look_up(*state).last, 1);
	answer_with(2, HOUR_S);
	pass_seconds(1);
	assert_int_equal(look_up(*state).last, 1);
	pass_seconds(1);
	assert_int_equal(look_up(*state).last, 2);

	answer_with(3, HOUR_S);
	pass_seconds(4);
	assert_int_equal(look_up(*state).last, 2);
	pass_seconds(1);
	assert_int_equal(look_up(*state).last, 3);
	assert_int_equal(asked, 3);
}

static void
the_last_answer_stands_in_for_an_hour_and_no_longer(void **state)
{
	answer_with(1, 0);
	assert_false(look_up(*state).is_stale);
	answer_nothing(DNS_NO_ANSWER);
	pass_seconds(HOUR_S - 1);
	assert_int_equal(look_up(*state).last, 1);
	assert_true(look_up(*state).is_stale);

	pass_seconds(2);
	const struct outcome outcome = look_up(*state);
	assert_int_equal(outcome.last, 0);
	assert_int_equal(outcome.kind, ERR_NAME_SERVER);
}

static void
a_failure_is_remembered_for_a_second(void **state)
{
	answer_nothing(DNS_NO_NAME);
	assert_int_equal(look_up(*state).kind, ERR_NAME_UNKNOWN);
	answer_with(1, 0);
	assert_int_equal(look_up(*state).kind, ERR_NAME_UNKNOWN);
	assert_int_equal(asked, 1);
	pass_seconds(1);
	assert_int_equal(look_up(*state).last, 1);
}

static void
nothing_stands_in_for_a_name_that_is_gone(void **state)
{
	answer_with(1, 0);
	assert_int_equal(look_up(*state).last, 1);
	answer_nothing(DNS_NO_NAME);
	assert_int_equal(look_up(*state).kind, ERR_NAME_UNKNOWN);
	pass_seconds(1);
	answer_nothing(DNS_NO_ANSWER);
	assert_int_equal(look_up(*state).kind, ERR_NAME_SERVER);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			an_answer_is_used_for_as_long_as_it_says_and_the_cache_allows, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(the_last_answer_stands_in_for_an_hour_and_no_longer,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_failure_is_remembered_for_a_second, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(nothing_stands_in_for_a_name_that_is_gone, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
