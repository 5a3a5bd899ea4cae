#include "base/attributes.h"
#include "tunnel/exchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { A_WHILE_US = 100000 };

static void
say(struct exchange *exchange, bool is_client, const char *text)
{
	exchange_note(exchange, is_client, (const unsigned char *)text, strlen(text));
}

static bool
is_resting(struct exchange *exchange)
{
	return exchange_rest(exchange, true, 1) != EXCHANGE_NOT_RESTING;
}

static void
nothing_said_is_rest(void **state ATTR_UNUSED)
{
	struct exchange exchange = {0};

	assert_true(is_resting(&exchange));
}

static void
a_request_is_owed_a_reply(void **state ATTR_UNUSED)
{
	struct exchange exchange = {0};

	say(&exchange, true, "PING\r\n");
	assert_false(is_resting(&exchange));
	say(&exchange, false, "+PONG\r\n");
	assert_true(is_resting(&exchange));
	say(&exchange, true, "P");
	assert_false(is_resting(&exchange));
}

/* However it comes: whole, and cut at each place. */
static void
a_reply_ends_with_its_line(void **state ATTR_UNUSED)
{
	static const char reply[] = "$5\r\nhello\r\n";
	size_t length = strlen(reply);

	for (size_t cut = 1; cut < length; cut++) {
		struct exchange exchange = {0};
		exchange_note(&exchange, false, (const unsigned char *)reply, cut);
		assert_int_equal(is_resting(&exchange), cut == 4);
		exchange_note(&exchange, false, (const unsigned char *)reply + cut, length - cut);
		assert_true(is_resting(&exchange));
	}
	struct exchange exchange = {0};
	for (size_t i = 0; i < length; i++)
		exchange_note(&exchange, false, (const unsigned char *)reply + i, 1);
	assert_true(is_resting(&exchange));
}

static void
rest_takes_a_while(void **state ATTR_UNUSED)
{
	struct exchange exchange = {0};

	say(&exchange, false, "+OK\r\n");
	assert_int_equal(exchange_rest(&exchange, true, 5), A_WHILE_US);
	assert_int_equal(exchange_rest(&exchange, true, 6), A_WHILE_US - 1);
	assert_int_equal(exchange_rest(&exchange, true, 5 + A_WHILE_US), 0);
	assert_int_equal(exchange_rest(&exchange, true, 9 + A_WHILE_US), 0);
}

static void
whatever_passes_begins_it_anew(void **state ATTR_UNUSED)
{
	struct exchange exchange = {0};

	assert_int_equal(exchange_rest(&exchange, true, 5), A_WHILE_US);
	say(&exchange, false, "+OK\r\n");
	assert_int_equal(exchange_rest(&exchange, true, 5 + A_WHILE_US), A_WHILE_US);
	assert_true(exchange_rest(&exchange, false, 6 + A_WHILE_US) == EXCHANGE_NOT_RESTING);
	assert_int_equal(exchange_rest(&exchange, true, 7 + A_WHILE_US), A_WHILE_US);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_said_is_rest),
		cmocka_unit_test(a_request_is_owed_a_reply),
		cmocka_unit_test(a_reply_ends_with_its_line),
		cmocka_unit_test(rest_takes_a_while),
		cmocka_unit_test(whatever_passes_begins_it_anew),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
