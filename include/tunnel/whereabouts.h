#ifndef CACHETUNNEL_TUNNEL_WHEREABOUTS_H
#define CACHETUNNEL_TUNNEL_WHEREABOUTS_H

#include "base/err.h"
#include "tunnel/socket_setup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where a service's tunnels are, or could be: its endpoints, the addresses in use, who waits, and
 * what waits for them. A copy of what one worker knows, put together with those of the others by
 * whoever asked (inquiry.h). Plain data, with bounds: what is beyond them is left out.
 */

struct generation;

enum { WHEREABOUTS_MAX_ENDPOINTS = 16, WHEREABOUTS_MAX_ADDRESSES = 32 };

struct whereabouts_endpoint {
	char address[SOCKET_NAME_SIZE];
	bool is_up; /* for all workers */
	uint64_t since_us;
	int64_t since_ms;   /* 0: since the beginning */
	char reason[256];   /* why it is down; empty: it is not */
	unsigned long open; /* tunnels, and dials under way */
};

struct whereabouts_address {
	char name[SOCKET_NAME_SIZE];
	unsigned long tunnels;
};

struct whereabouts {
	struct whereabouts_endpoint endpoints[WHEREABOUTS_MAX_ENDPOINTS];
	size_t endpoint_count;
	struct whereabouts_address addresses[WHEREABOUTS_MAX_ADDRESSES];
	size_t address_count;
	unsigned long held; /* clients */
	unsigned long warm; /* connections */
};

/* Adds what the generation knows about one of its services. In its worker's thread. */
void whereabouts_collect(struct whereabouts *whereabouts, const struct generation *generation,
			 size_t service_index);

/* The same for one that new clients do not come to any more: who waits there, and its tunnels to
 * endpoints that are known. How those are, it has not looked at for a while. */
void whereabouts_collect_past(struct whereabouts *whereabouts, const struct generation *generation,
			      size_t service_index);

/* One tunnel more to this address. */
void whereabouts_add_tunnel(struct whereabouts *whereabouts, const char *server);

/* Adds what another worker knows. */
void whereabouts_merge(struct whereabouts *into, const struct whereabouts *other);

#endif
