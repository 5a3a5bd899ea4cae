#ifndef CACHETUNNEL_TUNNEL_DEMOTION_H
#define CACHETUNNEL_TUNNEL_DEMOTION_H

#include "tunnel/inbox.h"
#include "tunnel/resolved.h"
#include "tunnel/setup.h"

#include <stddef.h>

/*
 * News that a server has refused a write, so that it is the primary no longer. The worker whose
 * tunnel heard it posts it to the main thread, which posts it to the other workers: their tunnels
 * have to leave the server as well, though their clients may only read.
 */

struct demotion {
	struct message message; /* first, so that the two can be cast */
	struct setup *setup;    /* one reference; what the indexes are of */
	size_t service;
	size_t endpoint; /* of the service */
	struct resolved_address address;
	size_t heard_by; /* the worker's index */
};

/* Returns owned, with a reference of its own to the setup; NULL: no memory. */
struct demotion *demotion_copy(const struct demotion *demotion);
void demotion_free(struct demotion *demotion);

#endif
