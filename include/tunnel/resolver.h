#ifndef CACHETUNNEL_TUNNEL_RESOLVER_H
#define CACHETUNNEL_TUNNEL_RESOLVER_H

#include "base/err.h"
#include "tunnel/resolved.h"

/*
 * Turns an endpoint's name into addresses without blocking. One for each worker. Cache names
 * move, so it remembers an answer no longer than the answer says, and no longer than it is told
 * to; those who ask for the same name at the same time share one question. A failure is
 * remembered for a second. While a name cannot be looked up, its last good answer is used for an
 * hour, which the log says; but not when the name servers say that there is no such name.
 */

struct event_base;
struct global_options;
struct resolver;
struct lookup;

/* The lookup is over, its handle is gone. `resolved` (borrowed for the call) has at least one
 * address, or is NULL, and `err` says why. Never called from inside the call that started it. */
typedef void resolver_done_cb(void *arg, const struct resolved *resolved, const struct err *err);

/* `base` is borrowed. Until told otherwise it asks the servers of /etc/resolv.conf, each time.
 * Returns owned; NULL when memory ran out. */
struct resolver *resolver_new(struct event_base *base);

/* All lookups must be over or cancelled. NULL is fine. */
void resolver_free(struct resolver *resolver);

/* Follows `resolver` and `dnsCache` from now on; questions under way are asked again where the
 * servers are others. */
void resolver_configure(struct resolver *resolver, const struct global_options *options);

/* The network may be another: what is known is not used without asking again, but for standing in. */
void resolver_forget(struct resolver *resolver);

/* Looks up `host` (a name, or a literal address) and `port` (a number or a service's name); both
 * are copied. Returns a handle to cancel with; NULL when memory ran out. */
struct lookup *resolver_start(struct resolver *resolver, const char *host, const char *port,
			      resolver_done_cb *on_done, void *arg);

/* The same, but not from memory: for whoever watches a name. Others get to know the answer. */
struct lookup *resolver_start_anew(struct resolver *resolver, const char *host, const char *port,
				   resolver_done_cb *on_done, void *arg);

/* The callback will not come. NULL is fine. */
void resolver_cancel(struct lookup *lookup);

#endif
