#ifndef CACHETUNNEL_TUNNEL_CONNECTOR_H
#define CACHETUNNEL_TUNNEL_CONNECTOR_H

#include "base/err.h"
#include "config/options.h"
#include "tunnel/resolved.h"

/*
 * Opens one socket: races an endpoint's addresses as RFC 8305 ("Happy Eyeballs") says. It takes
 * both families in turn, beginning with the first address's; the next address is begun with
 * when one fails, or has not answered for 250 ms. The first that accepts wins, and the others
 * are closed. Each address has the time that TIMEOUTconnect gives it.
 */

struct event_base;
struct connector;

/* An address has failed, and others are still tried, or not; or one that was begun with later has
 * answered first. */
typedef void connector_failed_cb(void *arg, const struct resolved_address *address);

struct connector_request {
	struct event_base *base; /* borrowed */
	int timeout_s;           /* for each address; 0: for ever */
	int dead_s; /* give up a peer that is silent for so long; 0: the system's time */
	const struct socket_option_list *socket_options; /* `r:` ones; borrowed */
	const struct resolved *addresses;                /* copied; at least one */
	const struct resolved *source;  /* address to connect from, borrowed; NULL: any */
	connector_failed_cb *on_failed; /* NULL: nobody cares */
};

/* The race is over, its handle is gone. `fd` (taken by the callee) is connected to `address`
 * (borrowed for the call); or fd is -1, address NULL, and `err` says why not: of several
 * failures the last. Never called from inside connector_start(). */
typedef void connector_done_cb(void *arg, int fd, const struct resolved_address *address,
			       const struct err *err);

/* Returns a handle to cancel with; NULL when memory ran out. */
struct connector *connector_start(const struct connector_request *request,
				  connector_done_cb *on_done, void *arg);

/* The callback will not come. NULL is fine. */
void connector_cancel(struct connector *connector);

#endif
