#ifndef CACHETUNNEL_TUNNEL_WATCH_H
#define CACHETUNNEL_TUNNEL_WATCH_H

#include "base/list.h"
#include "tunnel/resolved.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Watches where the name of an endpoint leads while tunnels to a primary, or warm connections, use
 * it, and tells those who should be there no longer: because their address has left the answer,
 * twice in a row, or because the server itself has said that it is no primary. One for each
 * endpoint of a service, worker and setup.
 */

struct event_base;
struct health;
struct resolver;
struct service;
struct watch;

/* The user's server is not the primary any more; `why` (static) says who said so. Once for each
 * user, which may leave in it. Comes from the loop, or from inside watch_report_demoted() and
 * watch_join(). */
typedef void watch_moved_cb(void *arg, const char *why);

/* The server at `address` has refused a write, as a user of the watch was told. */
typedef void watch_demoted_cb(void *arg, const struct watch *watch,
			      const struct resolved_address *address);

/* A tunnel, or a warm connection, that uses the endpoint. It lives with whoever joins. */
struct watch_user {
	struct list link;
	struct watch *watch; /* NULL: has not joined, or has left */
	struct resolved_address address;
	uint64_t chosen_us; /* when that was chosen, by clock_now_us() */
	int missed;         /* how often in a row its address was not in the answer */
	watch_moved_cb *on_moved;
	void *arg;
};

struct watch_request {
	struct event_base *base; /* borrowed, as all here */
	struct resolver *resolver;
	const struct service *service;
	size_t endpoint;       /* which of the service's */
	struct health *health; /* is told of moves */
	watch_demoted_cb *on_demoted;
	void *arg;
};

/* Returns owned; NULL: no memory. */
struct watch *watch_new(const struct watch_request *request);

/* All users must have left. NULL is fine. */
void watch_free(struct watch *watch);

/* `user` has filled in its address, chosen_us, on_moved and arg; borrowed until it leaves. One that
 * was on its way to a server while that was reported as demoted is told here. */
void watch_join(struct watch *watch, struct watch_user *user);

/* Harmless for one that has not joined. */
void watch_leave(struct watch_user *user);

/* The server at this address has refused a write: tells all who use it, and on_demoted(), unless
 * that was said lately, for then they came back to it and know. */
void watch_report_demoted(struct watch *watch, const struct resolved_address *address);

/* Another worker was told so: the same, without on_demoted(). False: it was said lately. */
bool watch_hear_demoted(struct watch *watch, const struct resolved_address *address);

/* Which endpoint of which service it watches. */
size_t watch_service(const struct watch *watch);
size_t watch_endpoint(const struct watch *watch);

/* Looks the name up now, if anybody uses the endpoint, rather than in its time. */
void watch_look_now(struct watch *watch);

/* Whether a server was reported a moment ago, so that what is known of the name may be old. */
bool watch_has_demoted(const struct watch *watch);

/* Takes out of `resolved` what was reported a moment ago, as names follow a little later. */
void watch_leave_out_demoted(const struct watch *watch, struct resolved *resolved);

#endif
