#include "tunnel/spread.h"

#include "base/attributes.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { COUNT = 3 };

static struct resolved
three_addresses(void)
{
	struct resolved resolved = {.count = 0};

	for (uint32_t i = 0; i < COUNT; i++) {
		const struct sockaddr_in address = {
			.sin_family = AF_INET,
			.sin_addr = {.s_addr = htonl(0x7f000201 + i)},
			.sin_port = htons(6379),
		};
		assert_true(resolved_add(&resolved, (const void *)&address, sizeof address));
	}
	return resolved;
}

static void
tunnels_go_where_the_fewest_are(void **state ATTR_UNUSED)
{
	struct spread *spread = spread_new();
	struct resolved all = three_addresses();
	struct spread_place *places[COUNT * 4];
	unsigned met[COUNT] = {0};

	for (int i = 0; i < COUNT * 4; i++) {
		struct resolved answer = three_addresses();
		places[i] = spread_arrange(spread, &answer);
		for (size_t j = 0; j < COUNT; j++)
			met[j] += resolved_is_same(&answer.items[0], &all.items[j]) ? 1 : 0;
	}
	for (size_t j = 0; j < COUNT; j++)
		assert_int_equal(met[j], 4);

	/* Two of the second have ended, so the next two go there. */
	struct spread_place *second = spread_open(spread, &all.items[1]);
	spread_close(second);
	spread_close(second);
	spread_close(second);
	for (int i = 0; i < 2; i++) {
		struct resolved answer = three_addresses();
		assert_ptr_equal(spread_arrange(spread, &answer), second);
		assert_true(resolved_is_same(&answer.items[0], &all.items[1]));
	}
	for (int i = 0; i < COUNT * 4; i++)
		spread_close(places[i]);
	spread_free(spread);
}

static void
those_who_come_at_once_are_spread_too(void **state ATTR_UNUSED)
{
	struct spread *spread = spread_new();
	struct resolved all = three_addresses();
	unsigned met = 0;

	for (int i = 0; i < COUNT; i++) {
		struct resolved answer = three_addresses();
		assert_non_null(spread_arrange(spread, &answer));
		for (unsigned j = 0; j < COUNT; j++)
			met |= resolved_is_same(&answer.items[0], &all.items[j]) ? 1U << j : 0;
	}
	assert_int_equal(met, 7);
	spread_free(spread);
}

static void
one_that_failed_comes_last_until_it_has_served(void **state ATTR_UNUSED)
{
	struct spread *spread = spread_new();
	struct resolved all = three_addresses();
	struct spread_place *busy[] = {
		spread_open(spread, &all.items[1]),
		spread_open(spread, &all.items[2]),
	};

	spread_note_failure(spread, &all.items[0]);
	for (int i = 0; i < 10; i++) {
		struct resolved answer = three_addresses();
		spread_close(spread_arrange(spread, &answer));
		assert_true(resolved_is_same(&answer.items[2], &all.items[0]));
	}
	struct spread_place *failed = spread_open(spread, &all.items[0]); /* which proves nothing */
	spread_close(failed);
	struct resolved answer = three_addresses();
	spread_close(spread_arrange(spread, &answer));
	assert_true(resolved_is_same(&answer.items[2], &all.items[0]));
	spread_note_success(failed);
	answer = three_addresses();
	spread_close(spread_arrange(spread, &answer));
	assert_true(resolved_is_same(&answer.items[0], &all.items[0]));
	spread_close(busy[0]);
	spread_close(busy[1]);
	spread_free(spread);
}

static void
more_addresses_than_are_remembered_are_no_harm(void **state ATTR_UNUSED)
{
	struct spread *spread = spread_new();

	for (uint32_t i = 0; i < 1000; i++) {
		const struct sockaddr_in address = {
			.sin_family = AF_INET,
			.sin_addr = {.s_addr = htonl(i)},
		};
		struct resolved answer = {.count = 0};
		assert_true(resolved_add(&answer, (const void *)&address, sizeof address));
		spread_close(spread_arrange(spread, &answer));
		(void)spread_open(spread, &answer.items[0]); /* all stay in use */
	}
	spread_free(spread);
}

static void
what_was_not_used_for_longest_is_forgotten_first(void **state ATTR_UNUSED)
{
	enum { MOST = 64 };
	struct spread *spread = spread_new();
	struct resolved first = {.count = 0};

	for (uint32_t i = 0; i <= MOST; i++) {
		const struct sockaddr_in address = {
			.sin_family = AF_INET,
			.sin_addr = {.s_addr = htonl(i)},
		};
		struct resolved answer = {.count = 0};
		assert_true(resolved_add(&answer, (const void *)&address, sizeof address));
		if (i == 0)
			first = answer;
		spread_note_failure(spread, &first.items[0]);
		spread_close(spread_arrange(spread, &answer));
	}
	/* It is still known to have failed, so one that is not comes before it. */
	struct resolved answer = three_addresses();
	answer.items[0] = first.items[0];
	spread_close(spread_arrange(spread, &answer));
	assert_true(resolved_is_same(&answer.items[2], &first.items[0]));
	spread_free(spread);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tunnels_go_where_the_fewest_are),
		cmocka_unit_test(those_who_come_at_once_are_spread_too),
		cmocka_unit_test(one_that_failed_comes_last_until_it_has_served),
		cmocka_unit_test(what_was_not_used_for_longest_is_forgotten_first),
		cmocka_unit_test(more_addresses_than_are_remembered_are_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
