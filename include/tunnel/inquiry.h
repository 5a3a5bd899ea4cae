#ifndef CACHETUNNEL_TUNNEL_INQUIRY_H
#define CACHETUNNEL_TUNNEL_INQUIRY_H

#include "tunnel/health.h"
#include "tunnel/inbox.h"
#include "tunnel/tunnel.h"
#include "tunnel/whereabouts.h"

#include <stddef.h>

/*
 * How the main thread asks a worker how it is: a message that goes there, is filled in by the
 * worker's thread, and comes back to the asker's inbox. Nobody waits, and nobody reads what another
 * thread owns. On the way, the worker counts what its open tunnels have moved (tunnel_account()).
 */

struct worker;
struct inquiry;

struct inquiry_service {
	char *name; /* owned */
	struct health_view view;
	struct whereabouts where;
};

struct inquiry {
	struct message message;                     /* first, so that the two can be cast */
	struct inbox *reply_to;                     /* borrowed; must outlive the worker */
	void (*on_answer)(struct inquiry *inquiry); /* takes it */
	/* Runs first, in the worker's thread, and has inquiry_answer() called, now or later; NULL:
	 * now. */
	void (*begin)(struct inquiry *inquiry, struct worker *worker);
	void *arg; /* the asker's */

	/* The answer. */
	struct inquiry_service *services; /* owned, as many as there was memory for */
	size_t service_count;
	struct tunnel_view *tunnels; /* owned; those that began last, `max_tunnels` at most */
	size_t tunnel_count;
	size_t max_tunnels;
};

/* Sends `inquiry` (all but the answer filled in; taken) to the worker. `on_answer` is called in the
 * thread of `reply_to`, once, also when the worker stops before it came to it. */
void inquiry_start(struct inquiry *inquiry, struct worker *worker);

/* In the worker's thread: fills the answer in, and sends it back. */
void inquiry_answer(struct inquiry *inquiry, struct worker *worker);

/* The one of this name; NULL: there is none. */
struct inquiry_service *inquiry_find_service(struct inquiry_service *services, size_t count,
					     const char *name);

void inquiry_free(struct inquiry *inquiry); /* NULL is fine */

#endif
