#ifndef CACHETUNNEL_TUNNEL_BASTION_DIALER_H
#define CACHETUNNEL_TUNNEL_BASTION_DIALER_H

#include "base/err.h"
#include "base/log.h"

/*
 * Makes a way to a bastion: a TCP connection, a channel of another bastion's session (`via`), or
 * a child's standard input and output (`proxyCommand`). What speaks SSH over it is not its
 * business.
 */

struct bastion;
struct bastion_dial;
struct event_base;
struct resolver;
struct session_pool;
struct step_observer;
struct stream;

struct bastion_dial_request {
	struct event_base *base; /* borrowed, as all here, while the handle lives */
	struct resolver *resolver;
	const struct bastion *bastion;
	const char *user;
	struct session_pool *via;             /* NULL: none */
	const struct step_observer *observer; /* is told of each step; NULL: nobody */
	const struct log_scope *log;
};

/* The way is there (`way` is owned by the callee), or `err` says why not. Never called from
 * inside bastion_dial_start(). */
typedef void bastion_dial_cb(void *arg, struct stream *way, const struct err *err);

/* Returns a handle, which must live as long as the way is used; NULL: no memory. */
struct bastion_dial *bastion_dial_start(const struct bastion_dial_request *request,
					bastion_dial_cb *on_done, void *arg);

/* Cancels what is under way; ends the child. Not from inside the callback. NULL is fine. */
void bastion_dial_free(struct bastion_dial *dial);

/* The failure has been explained. Never called from inside bastion_dial_explain(). */
typedef void bastion_dial_explained_cb(void *arg);

/* Adds to `err` (borrowed until then) what the way itself knows about a failure: how the child
 * ended, which shows a moment after its connection does. */
void bastion_dial_explain(struct bastion_dial *dial, struct err *err,
			  bastion_dial_explained_cb *on_explained, void *arg);

#endif
