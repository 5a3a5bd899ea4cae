#ifndef CACHETUNNEL_TUNNEL_STATS_H
#define CACHETUNNEL_TUNNEL_STATS_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What is counted for a service, under its name: one object survives as many reloads as the name
 * does. Any thread may count, and the main thread reads while it goes on, so every number is a
 * relaxed atomic of its own; they may disagree by what happens just now.
 *
 * Nothing is counted for each byte or read: what a tunnel has moved is added when it ends, and
 * when somebody asks (tunnel_account()).
 */

/* How a tunnel ended. */
enum stats_end {
	STATS_CLIENT_CLOSED,
	STATS_SERVER_CLOSED,
	STATS_CLIENT_RESET,
	STATS_SERVER_RESET,
	STATS_CLIENT_FAILED,
	STATS_SERVER_FAILED,
	STATS_CLIENT_LEFT,   /* before the server had answered */
	STATS_NOT_CONNECTED, /* the dial failed */
	STATS_REFUSED,       /* the client speaks TLS */
	STATS_IDLE,
	STATS_MOVED, /* its server was the primary no longer */
	STATS_NO_MEMORY,
	STATS_STOPPED, /* with the daemon, or by its wish */
	STATS_END_COUNT,
};

/* The ways in which a step of a dial fails, in the words of the metrics. */
enum stats_failure {
	STATS_RESOLUTION_UNKNOWN, /* there is no such name */
	STATS_RESOLUTION_SERVER,
	STATS_RESOLUTION_TIMEOUT,
	STATS_RESOLUTION_OTHER,
	STATS_CONNECT_REFUSED,
	STATS_CONNECT_UNREACHABLE,
	STATS_CONNECT_TIMEOUT,
	STATS_CONNECT_OTHER,
	STATS_BASTION_HOST_KEY,
	STATS_BASTION_LOGIN,
	STATS_BASTION_OTHER,
	STATS_HANDSHAKE_NO_TLS,
	STATS_HANDSHAKE_TIMEOUT,
	STATS_HANDSHAKE_CLOSED,
	STATS_HANDSHAKE_OTHER,
	STATS_VERIFICATION_NAME,
	STATS_VERIFICATION_EXPIRED,
	STATS_VERIFICATION_UNTRUSTED,
	STATS_VERIFICATION_REJECTED,
	STATS_FAILURE_COUNT,
};

/* Seconds, each bucket with those before it; the last one, without a bound, is one more. */
enum { STATS_BUCKET_COUNT = 14 };
extern const double stats_bounds_s[STATS_BUCKET_COUNT];

struct stats_histogram {
	atomic_ullong buckets[STATS_BUCKET_COUNT + 1]; /* each by itself */
	atomic_ullong sum_us;
};

struct stats {
	atomic_int references;
	char *name; /* owned; the service's */

	atomic_ullong opened; /* tunnels */
	atomic_ullong ended[STATS_END_COUNT];
	atomic_ullong turned_away; /* clients, by maxClients */
	atomic_ullong moves;       /* away from a primary; stats_count_move() */
	atomic_ullong moved_from;  /* the last of them: of what, and when, as one number */
	atomic_ullong bytes_to_server;
	atomic_ullong bytes_to_client;
	atomic_ullong handshakes_new;
	atomic_ullong handshakes_resumed;
	atomic_ullong failures[STATS_FAILURE_COUNT];
	struct stats_histogram connect; /* from the lookup of the name to a connection */
	struct stats_histogram handshake;
	atomic_llong certificate_expires; /* of the last one seen, seconds since 1970; 0: none */
};

/* Returns one owned reference; ends the process without memory, as at start and reload. */
struct stats *stats_new(const char *name);

/* Any thread; NULL is fine. */
struct stats *stats_ref(struct stats *stats);
void stats_unref(struct stats *stats);

static inline void
stats_add(atomic_ullong *counter, unsigned long long count)
{
	(void)atomic_fetch_add_explicit(counter, count, memory_order_relaxed);
}

static inline unsigned long long
stats_read(const atomic_ullong *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The service's tunnels leave the server `from`. Each worker notices that for itself, within a few
 * seconds; it counts once. */
void stats_count_move(struct stats *stats, const char *from);

void stats_observe(struct stats_histogram *histogram, uint64_t took_us);

/* Tunnels that are open: never negative, whatever happens meanwhile. */
unsigned long long stats_open_tunnels(const struct stats *stats);

/* Static texts, as the metrics write them. */
const char *stats_end_name(enum stats_end end);

/* "resolution", "connect", "bastion", "handshake" or "verification", and what kind of it. */
const char *stats_failure_family(enum stats_failure failure);
const char *stats_failure_name(enum stats_failure failure);

#endif
