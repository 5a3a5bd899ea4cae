#ifndef CACHETUNNEL_TUNNEL_CONNECTOR_H
#define CACHETUNNEL_TUNNEL_CONNECTOR_H

#include "config/options.h"
#include "tunnel/resolver.h"

/*
 * Opens one socket: tries an endpoint's addresses in order until one accepts, each for the time
 * that TIMEOUTconnect gives it.
 */

struct event_base;
struct connector;

struct connector_request {
	struct event_base *base;                         /* borrowed */
	int timeout_s;                                   /* for each address; 0: for ever */
	const struct socket_option_list *socket_options; /* `r:` ones; borrowed */
	const struct resolved *addresses;                /* copied; at least one */
	const struct resolved *source; /* address to connect from, borrowed; NULL: any */
};

/* The attempt is over, its handle is gone. `fd` (taken by the callee) is connected and the
 * address that it reached is written as text in `name`; or fd is -1 and `err` says why. Never
 * called from inside connector_start(). */
typedef void connector_done_cb(void *arg, int fd, const char *name, const struct err *err);

/* Returns a handle to cancel with; NULL when memory ran out. */
struct connector *connector_start(const struct connector_request *request,
				  connector_done_cb *on_done, void *arg);

/* The callback will not come. NULL is fine. */
void connector_cancel(struct connector *connector);

#endif
