#ifndef CACHETUNNEL_TUNNEL_SESSION_POOL_H
#define CACHETUNNEL_TUNNEL_SESSION_POOL_H

#include "base/err.h"
#include "config/address.h"

#include <stdbool.h>

/*
 * The sessions to one bastion, in the worker that it belongs to: makes them when channels are
 * asked for, shares them, makes them anew when they are lost. It begins with one and grows, up to
 * the bastion's `sessions`, only while requests queue, because a session opens its channels one
 * after the other.
 */

struct bastion;
struct channel_request;
struct event_base;
struct resolver;
struct session_pool;
struct step_observer;
struct setup;
struct stream;

struct session_pool_request {
	struct event_base *base;       /* borrowed while the pool lives */
	struct resolver *resolver;     /* the same */
	struct setup *setup;           /* whose bastion it is; the pool takes a reference */
	const struct bastion *bastion; /* of that setup */
	/* The pool of the bastion to hop through first, of which it takes a reference; NULL: none. */
	struct session_pool *via;
	const struct step_observer *observer; /* is told of each step to a session; NULL: nobody */
};

/* The channel is open (`channel` is owned by the callee), or `err` says why not; the request is
 * gone. Never called from inside session_pool_open(). */
typedef void session_pool_channel_cb(void *arg, struct stream *channel, const struct err *err);

/* Returns one owned reference; NULL: no memory. */
struct session_pool *session_pool_new(const struct session_pool_request *request);

/* References, all of the worker's thread. With the last one the sessions end: all requests must be
 * over or cancelled by then, and all channels freed; never from inside a callback of the pool or
 * of its channels. session_pool_unref() takes NULL. */
struct session_pool *session_pool_ref(struct session_pool *pool);
void session_pool_unref(struct session_pool *pool);

/* Asks for a channel to `endpoint` (borrowed until the request is over). Returns a handle to
 * cancel with; NULL: no memory. */
struct channel_request *session_pool_open(struct session_pool *pool, const struct address *endpoint,
					  session_pool_channel_cb *on_open, void *arg);

/* The callback will not come. NULL is fine. */
void session_pool_cancel(struct channel_request *request);

/* Logs in now, rather than when the first channel is asked for; and again, after a pause, whenever
 * no session is left. */
void session_pool_warm_up(struct session_pool *pool);

/* Forgets the pause that a failure began: its cause may have been mended. */
void session_pool_retry(struct session_pool *pool);

/* The same, and asks its sessions for a sign of life now. */
void session_pool_wake(struct session_pool *pool);

#endif
