#ifndef CACHETUNNEL_TUNNEL_SPREAD_H
#define CACHETUNNEL_TUNNEL_SPREAD_H

#include "base/attributes.h"
#include "tunnel/resolved.h"

/*
 * Spreads a service's new tunnels over the addresses of its replicas: the one with the fewest open
 * tunnels first, and last those that have failed lately, which are left out for longer each time.
 * One for each service, worker and setup; it counts its own worker's tunnels.
 */

struct spread;
struct spread_place;

/* Returns owned; NULL: no memory. */
struct spread *spread_new(void);

/* All places must have been given back. NULL is fine. */
void spread_free(struct spread *spread);

/* Whether each of them has failed lately, and its pause goes on. */
bool spread_is_all_left_out(const struct spread *spread, const struct resolved *addresses);

/* Puts the addresses in the order in which they should be tried. The first counts as one tunnel
 * more until spread_close(), so that many who come at once do not all go to the same one. Returns
 * borrowed; NULL where nobody counts it. */
struct spread_place *spread_arrange(struct spread *spread,
				    struct resolved *addresses) ATTR_MUST_CHECK;

/* An address could not be connected to, did not speak TLS, or broke a tunnel. */
void spread_note_failure(struct spread *spread, const struct resolved_address *address);

/* A tunnel to this address begins. Returns borrowed, for spread_close(); NULL where nobody counts
 * it. */
struct spread_place *spread_open(struct spread *spread, const struct resolved_address *address);

/* It has served a tunnel: its next failure is the first again. NULL is fine. */
void spread_note_success(struct spread_place *place);

/* It has ended. NULL is fine. */
void spread_close(struct spread_place *place);

#endif
