#ifndef CACHETUNNEL_TUNNEL_WORKER_H
#define CACHETUNNEL_TUNNEL_WORKER_H

#include "base/err.h"
#include "base/list.h"
#include "tunnel/setup.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/*
 * One thread with its own event loop, resolver, TLS sessions and tunnels. Nothing of it is
 * touched from another thread; clients come in through its inbox.
 */

struct event_base;
struct resolver;
struct scratch;
struct session_pool;
struct tls_sessions;
struct tunnel;
struct worker;

/* A client that was accepted, on its way to a worker. */
struct worker_client {
	int fd;              /* taken */
	struct setup *setup; /* one reference, taken; the client is counted in it */
	size_t service_index;
	struct sockaddr_storage peer;
	socklen_t peer_length;
};

/* For the main thread. */

/* Makes the worker number `index` of `count` for the services of `setup` (borrowed; takes a
 * reference of its own) and starts its thread, with all signals blocked. Returns owned. */
struct worker *worker_start(struct setup *setup, size_t index, size_t count, struct err *err);

/* Which of `count` workers the service's tunnels belong to: the one that owns its bastion, so
 * that logins are not multiplied by threads. False where any will do. */
bool worker_find_owner(const struct service *service, size_t count, size_t *ret_index);

/* Hands a client over. False when memory ran out; then nothing was taken. */
bool worker_submit(struct worker *worker, const struct worker_client *client) ATTR_MUST_CHECK;

/* Logs in to those of its bastions that say so (`eager`). */
void worker_warm_up(struct worker *worker);

/* How many clients it has, those in its inbox included. */
int worker_load(const struct worker *worker);

/* Closes every tunnel, ends the thread, and frees the worker. NULL is fine. */
void worker_stop(struct worker *worker);

/* For its own tunnels, in its thread. All borrowed. */

/* Where a worker keeps a tunnel: what every struct tunnel begins with. */
struct worker_slot {
	struct list all;
	struct list to_tidy;
};

struct event_base *worker_base(struct worker *worker);
struct resolver *worker_resolver(struct worker *worker);
struct scratch *worker_scratch(struct worker *worker);

/* The TLS sessions to resume for this service; NULL where resuming is off. */
struct tls_sessions *worker_sessions(struct worker *worker, size_t service_index);

/* The sessions to the bastion that this service goes through; NULL: none. */
struct session_pool *worker_session_pool(struct worker *worker, size_t service_index);

/* The endpoint that this service's next dial begins with, by its `failover`. */
size_t worker_first_endpoint(struct worker *worker, size_t service_index);

/* tunnel_tidy() is called at the end of this turn of the loop, where freeing is safe. */
void worker_tidy_later(struct worker *worker, struct tunnel *tunnel);

#endif
