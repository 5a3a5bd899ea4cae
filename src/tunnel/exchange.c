#include "tunnel/exchange.h"

enum { REST_US = 100000 };

static bool
is_settled(const struct exchange *exchange)
{
	return !exchange->has_begun ||
	       (!exchange->is_owed && exchange->before == '\r' && exchange->last == '\n');
}

uint64_t
exchange_rest(struct exchange *exchange, bool is_still, uint64_t now_us)
{
	if (!is_still || !is_settled(exchange)) {
		exchange->rest_since_us = 0;
		return EXCHANGE_NOT_RESTING;
	}
	if (exchange->rest_since_us == 0)
		exchange->rest_since_us = now_us;
	uint64_t until_us = exchange->rest_since_us + REST_US;
	return now_us < until_us ? until_us - now_us : 0;
}
