#ifndef CACHETUNNEL_TUNNEL_DIRECTION_H
#define CACHETUNNEL_TUNNEL_DIRECTION_H

#include "base/buffer.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * One way of a relay as a state machine, with the bytes that wait on it. It moves nothing: the
 * relay reads and writes, and decides what an end means for both ways. All inline, for it is asked
 * at each step of the data path.
 */

struct stream;

enum direction_state {
	DIRECTION_OPEN,   /* bytes are read and passed on */
	DIRECTION_ENDING, /* the source has ended; that is passed on after the bytes before it */
	DIRECTION_ENDED,  /* it was passed on */
	DIRECTION_DISCARDING, /* the destination takes no more: what comes is dropped, so that the
			       * source can go on to read what the destination said last */
	DIRECTION_DONE,       /* discarding, and the source has ended */
};

struct direction {
	struct stream *from;        /* borrowed */
	struct stream *to;          /* borrowed */
	enum direction_state state; /* written by direction_set_state() only */
	struct buffer pending;      /* read and not written yet */
	uint64_t bytes;             /* written */
};

static inline void
direction_set_state(struct direction *direction, enum direction_state state)
{
	static const unsigned allowed[] = {
		[DIRECTION_OPEN] = 1 << DIRECTION_ENDING | 1 << DIRECTION_DISCARDING,
		[DIRECTION_ENDING] = 1 << DIRECTION_ENDED | 1 << DIRECTION_DONE,
		[DIRECTION_DISCARDING] = 1 << DIRECTION_DONE,
		[DIRECTION_ENDED] = 0,
		[DIRECTION_DONE] = 0,
	};

	assert(allowed[direction->state] & 1U << state);
	direction->state = state;
}

/* Whether the source is to be read from now. */
static inline bool
direction_is_reading(const struct direction *direction)
{
	return direction->state == DIRECTION_DISCARDING ||
	       (direction->state == DIRECTION_OPEN && buffer_length(&direction->pending) == 0);
}

/* Whether something has to be written, or an end passed on. */
static inline bool
direction_is_writing(const struct direction *direction)
{
	return direction->state == DIRECTION_ENDING || buffer_length(&direction->pending) > 0;
}

static inline bool
direction_has_source_ended(const struct direction *direction)
{
	return direction->state == DIRECTION_ENDING || direction->state == DIRECTION_ENDED ||
	       direction->state == DIRECTION_DONE;
}

/* Whether nothing will move on it any more. */
static inline bool
direction_is_settled(const struct direction *direction)
{
	return direction->state == DIRECTION_ENDED || direction->state == DIRECTION_DONE;
}

#endif
