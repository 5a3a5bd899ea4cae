#ifndef CACHETUNNEL_TUNNEL_TUNNELS_H
#define CACHETUNNEL_TUNNEL_TUNNELS_H

#include "base/list.h"

#include <stdatomic.h>

/*
 * The tunnels of one worker: owned here from their beginning to their end, which comes at the end
 * of a turn of the loop, when none of their callbacks is under way. In the worker's thread only.
 */

struct event_base;
struct inbox;
struct message;
struct tunnel;
struct tunnels;

/* What every struct tunnel begins with, for its place among them. */
struct tunnel_slot {
	struct list all;
	struct list to_tidy;
};

/* `base` is borrowed, and so is `load`, which loses one for each tunnel that ends by itself. Returns
 * owned; NULL: no memory. */
struct tunnels *tunnels_new(struct event_base *base, atomic_int *load);

/* All must have been stopped. NULL is fine. */
void tunnels_free(struct tunnels *tunnels);

/* Takes the tunnel. */
void tunnels_add(struct tunnels *tunnels, struct tunnel *tunnel);

/* Calls tunnel_tidy() at the end of this turn of the loop; once, however often it was asked for. */
void tunnels_tidy_later(struct tunnels *tunnels, struct tunnel *tunnel);

/* The youngest first. `visit` must not end any. */
void tunnels_visit(const struct tunnels *tunnels, void (*visit)(void *arg, struct tunnel *tunnel),
		   void *arg);

/* Has servers asked for a sign of life each second, for a few seconds: the machine has slept. */
void tunnels_probe(struct tunnels *tunnels);

/* Ends each as soon as it is at rest. When none is left, `when_empty` (borrowed until then) is
 * posted to `inbox`. */
void tunnels_drain(struct tunnels *tunnels, struct message *when_empty, struct inbox *inbox);

/* Ends and frees all of them now. Not from inside their callbacks. */
void tunnels_stop(struct tunnels *tunnels);

#endif
