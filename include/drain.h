#ifndef CACHETUNNEL_DRAIN_H
#define CACHETUNNEL_DRAIN_H

#include <stdbool.h>

/*
 * The orderly end: nobody is accepted any more, requests in flight get their replies, and tunnels
 * that are at rest close. For so long at most; then whoever started it ends the rest.
 */

struct drain;
struct event_base;
struct inbox;
struct serving;

/* Nobody is left, or the time is over (`is_complete` is false then). Called once, never from
 * inside drain_start(). */
typedef void drain_done_cb(void *arg, bool is_complete);

/* All borrowed while the handle lives; the inbox is the caller's thread's. Returns a handle. */
struct drain *drain_start(struct serving *serving, struct event_base *base, struct inbox *inbox,
			  int timeout_s, drain_done_cb *on_done, void *arg);

/* Not before the workers have ended. NULL is fine. */
void drain_free(struct drain *drain);

#endif
