#ifndef CACHETUNNEL_TUNNEL_REFUSAL_H
#define CACHETUNNEL_TUNNEL_REFUSAL_H

#include "tunnel/relay.h"

#include <stdbool.h>

/*
 * Tells a client in its own protocol why it gets no server. Redis clients speak first, and
 * libraries take an answer before their question for a broken connection, so it waits a moment for
 * the client's first word. Afterwards it waits a moment for the client to hang up, and reads what
 * is said meanwhile: closing over unread bytes would be a reset, which may take the message with
 * it.
 */

struct event_base;
struct refusal;
struct stream;

/* The client may be closed. Never called from inside refusal_start(). */
typedef void refusal_over_cb(void *arg);

struct refusal_request {
	struct event_base *base; /* borrowed, as all here, until refusal_free() */
	struct stream *client;   /* whose handler and interest are taken */
	const struct scratch *scratch;
	const char *why; /* copied; what follows its first line end is left out */
	bool has_spoken; /* the client has said something already */
	refusal_over_cb *on_over;
	void *arg;
};

/* Returns owned; NULL: no memory. */
struct refusal *refusal_start(const struct refusal_request *request);

/* Not from inside the callback. NULL is fine. */
void refusal_free(struct refusal *refusal);

#endif
