#ifndef CACHETUNNEL_TUNNEL_STAY_H
#define CACHETUNNEL_TUNNEL_STAY_H

#include "tunnel/dialer.h"
#include "tunnel/relay.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A tunnel's stay at the server that was found for it: it counts there, it makes the tunnel leave
 * when the server is the primary no longer, and it tells when the server drops it at once.
 */

struct endpoints;
struct event_base;
struct generation;
struct mover;
struct spread;
struct spread_place;

/* It lives with its tunnel. All zero: none, which every function here takes. */
struct stay {
	struct endpoints *endpoints; /* borrowed, as the next two; NULL: none */
	struct spread *spread;       /* NULL where the service's tunnels are not spread */
	struct spread_place *place;
	struct resolved_address address;
	size_t endpoint;
	struct mover *mover; /* owned; NULL where nobody minds that the server moves */
	uint64_t began_us;
};

struct stay_request {
	struct event_base *base;       /* borrowed, as all here */
	struct generation *generation; /* whose service was dialled; outlives the stay */
	int timeout_move_s;
	const struct log_scope *log;
	const char *service; /* the client's */
};

/* False: no memory; stay_done() is due all the same. */
bool stay_begin(struct stay *stay, const struct stay_request *request,
		const struct dial_outcome *outcome) ATTR_MUST_CHECK;

/* Gives up all of it. Not from inside callbacks of the relay. */
void stay_done(struct stay *stay);

/* Whether stay_observe() wants to hear what passes, from the client's first words on. */
bool stay_listens(const struct stay *stay);
void stay_observe(struct stay *stay, bool is_from_client, const unsigned char *bytes,
		  size_t length);

/* The relay that is to end when the server moves; borrowed until stay_done(). */
void stay_relay(struct stay *stay, struct relay *relay);

/* Whether the tunnel may end now without anybody missing a reply. */
bool stay_is_quiet(const struct stay *stay);

/* How the relay ended, and what the server had said by then. */
void stay_note_end(const struct stay *stay, enum relay_end how, const struct err *err,
		   uint64_t bytes_to_server, uint64_t bytes_to_client);

#endif
