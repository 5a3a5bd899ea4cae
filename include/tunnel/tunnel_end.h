#ifndef CACHETUNNEL_TUNNEL_TUNNEL_END_H
#define CACHETUNNEL_TUNNEL_TUNNEL_END_H

#include "tunnel/relay.h"
#include "tunnel/stats.h"

#include <stdbool.h>

/* What the end of a relay means for its tunnel: in the log, in the counters, and for the two
 * connections. */
struct tunnel_end {
	const char *words; /* for the log */
	enum stats_end counted_as;
	bool is_trouble;    /* of our own, or for somebody to look at */
	bool resets_server; /* the client broke, so the server hears of a break, too */
	bool resets_client; /* and the other way round */
};

/* Static. */
const struct tunnel_end *tunnel_end_of(enum relay_end how);

#endif
