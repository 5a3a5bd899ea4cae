#ifndef CACHETUNNEL_TUNNEL_HOLD_H
#define CACHETUNNEL_TUNNEL_HOLD_H

#include "base/attributes.h"
#include "base/err.h"
#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where clients wait while their endpoint is being looked for, instead of being refused. Once
 * somebody's dial has failed, one of those who wait at a time tries again; when it comes through,
 * all others go at once, and whoever was overtaken, stuck at a server that is gone, dials anew. One for each
 * service, worker and setup. It bounds how many wait.
 */

struct event_base;
struct hold;

/* Dial now, and once more if a dial is under way: somebody has just come through. */
typedef void hold_go_cb(void *arg);

/* The time is up. The seat is parked no more; a dial may be under way. */
typedef void hold_give_up_cb(void *arg);

/* A client's place. It lives with whoever takes it. Both callbacks come from the loop, and may
 * leave. */
struct hold_seat {
	struct list link;
	struct hold *hold; /* NULL: has left */
	bool is_parked;    /* false: a dial is under way */
	bool is_held;      /* it was parked, so the deadline counts also while it tries again */
	uint64_t since_us; /* when that began */
	uint64_t deadline_us;
	hold_go_cb *on_go;
	hold_give_up_cb *on_give_up;
	void *arg;
};

/* `base` is borrowed. Returns owned; NULL: no memory. */
struct hold *hold_new(struct event_base *base);

/* Nobody may be left. NULL is fine. */
void hold_free(struct hold *hold);

/* Takes a place, for a dial that begins now; the callee fills in deadline, callbacks and arg
 * before. Borrowed until hold_leave(). */
void hold_enter(struct hold *hold, struct hold_seat *seat);

/* Why the last dial for those who wait has failed, for all of them to know: also those that wait
 * without having dialled. */
void hold_note_failure(struct hold *hold, const struct err *err);
const struct err *hold_failure(const struct hold *hold);

/* Waits, until the deadline. False, and nothing has happened, when the time is up or too many
 * wait. */
bool hold_park(struct hold_seat *seat) ATTR_MUST_CHECK;

/* Gives the place back; `has_connected`: its dial came through, so others may. Harmless when it has
 * left already. */
void hold_leave(struct hold_seat *seat, bool has_connected);

/* How many are parked now. While there are, another dial is of no use. */
size_t hold_count(const struct hold *hold);

#endif
