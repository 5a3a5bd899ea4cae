#ifndef CACHETUNNEL_CONTROL_STATUS_WHERE_H
#define CACHETUNNEL_CONTROL_STATUS_WHERE_H

#include "tunnel/inquiry.h"

#include <jansson.h>

/*
 * The part of /status that tells where a service's tunnels are: endpoints, addresses in use, who
 * waits, and the last move.
 */

struct stats;

/* Adds these members to `service`, an object. `found` (borrowed; NULL: nothing is known) is what
 * the workers have told of it. */
void status_where_add(json_t *service, const struct inquiry_service *found,
		      const struct stats *stats);

#endif
