#ifndef CACHETUNNEL_BASE_LOG_REPEATS_H
#define CACHETUNNEL_BASE_LOG_REPEATS_H

#include "base/log.h"

#include <stdint.h>

/*
 * Counts lines that say the same again and again, so that the log has the first at once and the
 * number of the others after a while: a cache that is away must not fill a disk. It keeps a
 * bounded number of texts; where one more comes, the oldest makes room, and its count is told then,
 * so that no line is lost from the counts. Not safe for threads: the logger locks.
 */

enum { LOG_REPEATS_SLOTS = 64 };

struct log_repeat {
	char id[LOG_ID_SIZE]; /* of who said it first */
	enum log_level level;
	char service[LOG_SERVICE_SIZE]; /* empty: of none */
	char text[LOG_TEXT_SIZE];
	uint64_t first_us;  /* when it was said, and written; 0: the slot is free */
	unsigned long more; /* times since then, not written */
};

struct log_repeats {
	uint64_t window_us; /* for how long a line is not written again; 0: it always is */
	struct log_repeat slots[LOG_REPEATS_SLOTS];
};

/* `said` (its text, level and service) is said now. True: it is to be written. False: it was
 * written not long ago, and is counted. `ret_told` gets what made room for it; `more` is 0 if
 * there is nothing to tell of that. */
bool log_repeats_note(struct log_repeats *repeats, const struct log_repeat *said, uint64_t now_us,
		      struct log_repeat *ret_told);

/* Takes out one whose time is over (`is_everything`: whichever), and that was said more than once;
 * false: there is none. */
bool log_repeats_take(struct log_repeats *repeats, uint64_t now_us, bool is_everything,
		      struct log_repeat *ret_told);

/* When the next one's time is over; UINT64_MAX: never. */
uint64_t log_repeats_next_us(const struct log_repeats *repeats);

#endif
