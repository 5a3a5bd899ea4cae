#ifndef CACHETUNNEL_TUNNEL_GENERATION_H
#define CACHETUNNEL_TUNNEL_GENERATION_H

#include "tunnel/dialer.h"
#include "tunnel/setup.h"

#include <stddef.h>

/*
 * What one worker keeps for one setup: TLS sessions to resume, how its endpoints are,
 * and the sessions to its bastions. A reload gives each worker a new generation; tunnels hold the
 * one that they began in, and it goes with the last of them.
 *
 * It belongs to its worker and is used in its thread only, so references are plain numbers.
 */

struct demotion;
struct endpoints;
struct event_base;
struct generation;
struct hold;
struct health;
struct health_book;
struct list;
struct resolver;
struct session_pool;
struct step_observer;
struct spread;
struct tls_sessions;
struct warm;
struct watch;

/* The worker that a generation is for. */
struct generation_place {
	struct event_base *base; /* borrowed, as all here */
	struct resolver *resolver;
	struct list *living;                  /* where each generation is while it lives; NULL:
					       * nobody wants to know */
	struct health_book *healths;          /* of the worker; outlives its generations */
	const struct step_observer *observer; /* of the ways to bastions; NULL: nobody */
	/* A server was heard to be the primary no longer; `demotion` is borrowed, and has no
	 * message yet. */
	void (*on_demotion)(void *arg, const struct demotion *demotion);
	void *arg;
	size_t worker_index; /* which of how many */
	size_t worker_count;
};

/* Takes a reference of `setup`, and makes the resolver follow its options. The sessions to bastions
 * that have not changed since `previous` (borrowed; NULL: there is none) are shared with it.
 * Returns one owned reference; NULL: no memory. */
struct generation *generation_new(const struct generation_place *place, struct setup *setup,
				  const struct generation *previous);

/* generation_unref() takes NULL. The last reference frees it: never from inside a callback of its
 * pools or of a stream above them. */
struct generation *generation_ref(struct generation *generation);
void generation_unref(struct generation *generation);

/* A newer one takes its place: no new clients come, so it keeps nothing ready for them. NULL is
 * fine. */
void generation_retire(struct generation *generation);

/* The one that is linked here, in `place.living`. */
struct generation *generation_of(struct list *link);

/* The machine has slept: looks at once at names that are watched, endpoints that are down and sessions
 * to bastions. */
void generation_wake(struct generation *generation);

/* Another generation has heard it: the tunnels of this one leave that server too, where it has the
 * same service with the same endpoint. */
void generation_hear_demotion(struct generation *generation, const struct demotion *demotion);

/* Begins with what should be ready before clients come: sessions to `eager` bastions, and warm
 * connections. Whoever only wants to try the ways does not call it. */
void generation_warm_up(struct generation *generation);

/* The worker, of `count`, whose generation has the sessions to the service's bastion: one has all
 * of them, so that logins are not multiplied by threads. False where there is no bastion and any
 * worker will do. */
bool generation_find_owner(const struct service *service, size_t count, size_t *ret_index);

/* All borrowed. */

struct setup *generation_setup(const struct generation *generation);

/* The TLS sessions to resume for this service; NULL where resuming is off. */
struct tls_sessions *generation_tls_sessions(const struct generation *generation,
					     size_t service_index);

/* The sessions to the bastion that this service goes through; NULL: none. */
struct session_pool *generation_session_pool(const struct generation *generation,
					     size_t service_index);

/* For each of the service's endpoints one that its tunnels join, where `role = primary`; else
 * NULL. */
struct watch *const *generation_watches(const struct generation *generation, size_t service_index);

/* What every dial of the service begins with; `log` is the daemon's. */
struct dial_request generation_dial_request(struct generation *generation, size_t service_index);

/* The connections that are ready for the service's clients; NULL: none are kept, or not yet. */
struct warm *generation_warm(const struct generation *generation, size_t service_index);

/* How the service's tunnels are spread, where `role = replica`; else NULL. */
struct spread *generation_spread(const struct generation *generation, size_t service_index);

/* Where the service's clients wait. */
struct hold *generation_hold(const struct generation *generation, size_t service_index);

const struct generation_place *generation_place(const struct generation *generation);

/* How the way of this service is. */
struct health *generation_health(const struct generation *generation, size_t service_index);

/* Which of its endpoints are up, and which comes next. */
struct endpoints *generation_endpoints(const struct generation *generation, size_t service_index);

#endif
