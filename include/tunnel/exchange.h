#ifndef CACHETUNNEL_TUNNEL_EXCHANGE_H
#define CACHETUNNEL_TUNNEL_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Whether a client waits for a reply, as far as can be told without reading the protocol, and at
 * the price of a few instructions a piece: who spoke last, and whether a line ended there, as
 * every reply of a Redis server does. That errs where a reply pauses just after a line end inside
 * of it. So it counts as rest only when nothing has passed for a tenth of a second: longer than a
 * reply pauses between two packets that are on their way.
 *
 * (redis/conversation.h knows exactly, and looks at every byte for that.)
 */

struct exchange {
	bool is_owed;           /* the client spoke last */
	bool has_begun;         /* somebody spoke at all */
	unsigned char last;     /* what the server said: the last byte of it, */
	unsigned char before;   /* and the one before */
	uint64_t rest_since_us; /* 0: it does not rest, or nobody has asked yet */
};

/* Looks at what passes; `length` is not 0. */
static inline void
exchange_note(struct exchange *exchange, bool is_from_client, const unsigned char *bytes,
	      size_t length)
{
	exchange->has_begun = true;
	exchange->is_owed = is_from_client;
	exchange->rest_since_us = 0;
	if (is_from_client)
		return;
	exchange->before = length > 1 ? bytes[length - 2] : exchange->last;
	exchange->last = bytes[length - 1];
}

#define EXCHANGE_NOT_RESTING UINT64_MAX

/* How many microseconds are left until it has rested, if nothing passes: ask again then. 0: it has.
 * EXCHANGE_NOT_RESTING: a reply is outstanding, or `is_still` is false, which says that bytes are
 * kept somewhere. */
uint64_t exchange_rest(struct exchange *exchange, bool is_still, uint64_t now_us);

#endif
