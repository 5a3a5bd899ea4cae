#ifndef CACHETUNNEL_TUNNEL_BACKOFF_H
#define CACHETUNNEL_TUNNEL_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How long a server that failed is left alone: longer after each failure in a row, and spread, so
 * that many daemons do not come back together. All zero at first. Times are clock_now_us()'s.
 */
struct backoff {
	unsigned failures;      /* in a row */
	uint64_t not_before_us; /* no attempt before that */
};

/* An attempt failed at `now_us`. `is_refused`: the server did not want us, and will not soon.
 * Attempts that were under way together and fail during the pause count as one. Returns the length
 * of the pause that begins, in microseconds. */
uint64_t backoff_fail(struct backoff *backoff, uint64_t now_us, bool is_refused);

/* An attempt succeeded: the next failure is the first again. A pause goes on, because others that
 * were under way at the same time may have been turned away. */
void backoff_reset(struct backoff *backoff);

/* How much of the pause is left; 0: none. */
uint64_t backoff_left_us(const struct backoff *backoff, uint64_t now_us);

#endif
