#ifndef CACHETUNNEL_TUNNEL_MOVER_H
#define CACHETUNNEL_TUNNEL_MOVER_H

#include "base/log.h"
#include "tunnel/resolved.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Makes a tunnel to a primary leave it when that is the primary no longer, so that its client
 * connects again, to the new one. It listens to the conversation to know when no reply is
 * outstanding; the tunnel then ends without anybody losing one, or after TIMEOUTmove all the
 * same.
 */

struct event_base;
struct mover;
struct relay;
struct watch;

struct mover_request {
	struct event_base *base; /* borrowed, as all here */
	struct watch *watch;
	struct resolved_address address; /* of the server; length 0: not known */
	uint64_t chosen_us;              /* when that was chosen, by clock_now_us() */
	int timeout_s;                   /* TIMEOUTmove */
	const struct log_scope *log;
	const char *service; /* its name */
};

/* Returns owned; NULL: no memory. */
struct mover *mover_new(const struct mover_request *request);

/* Not from inside its own callbacks. NULL is fine. */
void mover_free(struct mover *mover);

/* The relay that is to end; borrowed until mover_free(). */
void mover_begin(struct mover *mover, struct relay *relay);

/* What passes through the tunnel, in order. May make the relay end soon, but not at once. */
void mover_observe(struct mover *mover, bool is_from_client, const unsigned char *bytes,
		   size_t length);

/* Whether the tunnel may end now without anybody missing anything. */
bool mover_is_quiet(const struct mover *mover);

#endif
