#ifndef CACHETUNNEL_TUNNEL_ENDPOINTS_H
#define CACHETUNNEL_TUNNEL_ENDPOINTS_H

#include "base/err.h"
#include "config/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The endpoints of a service: which of them a new tunnel should try first (`failover`), and which
 * are down. Tunnels tell when one fails them; where there are several, one that is down is then
 * tried by real connections, with growing pauses, until it takes one, and gets tunnels again.
 * Down or not, each is tried before a client is refused. What moves behind one name is spread.h's
 * and watch.h's matter. One for each service, worker and setup.
 */

struct dial_request;
struct endpoints;

enum endpoint_state {
	ENDPOINT_UP,   /* or not known to be down */
	ENDPOINT_DOWN, /* until the next check, or until a tunnel comes through */
	ENDPOINT_CHECKING,
};

/* What can be told of one. */
struct endpoint_view {
	const struct address *address; /* borrowed from the configuration */
	bool is_up;
	uint64_t since_us;  /* by clock_now_us(); 0: since the beginning */
	int64_t since_ms;   /* the same since 1970 */
	unsigned open;      /* tunnels, and dials under way */
	const char *reason; /* why it is down, borrowed; NULL: it is not */
};

/* `check` is how to try one (its service is whose endpoints these are; copied, and what it names is
 * borrowed). Returns owned; NULL: no memory. */
struct endpoints *endpoints_new(const struct dial_request *check);

/* All seats must have been given back. Not from inside a callback of a dial. NULL is fine. */
void endpoints_free(struct endpoints *endpoints);

/* No more checks: no new tunnels will come. */
void endpoints_retire(struct endpoints *endpoints);

/* Of those that `is_tried` does not name, the one to try now, which is counted as one tunnel more
 * until endpoints_leave(). At least one must be left. */
size_t endpoints_take(struct endpoints *endpoints, const bool *is_tried);

/* One tunnel more to this endpoint, until endpoints_leave(). */
void endpoints_join(struct endpoints *endpoints, size_t index);
void endpoints_leave(struct endpoints *endpoints, size_t index);

/* It cannot be reached, does not prove who it is, or drops tunnels as soon as they begin. */
void endpoints_note_failure(struct endpoints *endpoints, size_t index, const struct err *err);

/* A tunnel came through. */
void endpoints_note_success(struct endpoints *endpoints, size_t index);

/* Whether a new tunnel may as well go there as anywhere: then a connection that is there already
 * is worth keeping. */
bool endpoints_is_wanted(const struct endpoints *endpoints, size_t index);

/* Checks those that are down now, and forgets their pauses: the network may be another. */
void endpoints_check_now(struct endpoints *endpoints);

size_t endpoints_count(const struct endpoints *endpoints);
void endpoints_view(const struct endpoints *endpoints, size_t index,
		    struct endpoint_view *ret_view);

#endif
