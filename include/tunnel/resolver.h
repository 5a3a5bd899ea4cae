#ifndef CACHETUNNEL_TUNNEL_RESOLVER_H
#define CACHETUNNEL_TUNNEL_RESOLVER_H

#include "base/err.h"

#include <stddef.h>
#include <sys/socket.h>

/*
 * Turns an endpoint's name into addresses, without blocking and afresh for every connection:
 * cache names move. One resolver per worker. It uses /etc/hosts and the servers of
 * /etc/resolv.conf, and reads both again when they change.
 */

struct event_base;
struct resolver;
struct lookup;

enum { RESOLVER_MAX_ADDRESSES = 16 };

struct resolved {
	size_t count;
	struct {
		struct sockaddr_storage storage;
		socklen_t length;
	} items[RESOLVER_MAX_ADDRESSES];
};

/* The lookup is over, its handle is gone. `resolved` (borrowed for the call) has at least one
 * address, or is NULL, and `err` says why. Never called from inside resolver_start(). */
typedef void resolver_done_cb(void *arg, const struct resolved *resolved, const struct err *err);

/* `base` is borrowed. Returns owned; NULL when memory ran out. */
struct resolver *resolver_new(struct event_base *base);

/* All lookups must be over or cancelled. NULL is fine. */
void resolver_free(struct resolver *resolver);

/* Looks up `host` (a name, or a literal address) and `port` (a number or a service's name); both
 * are copied. Returns a handle to cancel with; NULL when memory ran out. */
struct lookup *resolver_start(struct resolver *resolver, const char *host, const char *port,
			      resolver_done_cb *on_done, void *arg);

/* The callback will not come. NULL is fine. */
void resolver_cancel(struct lookup *lookup);

#endif
