#ifndef CACHETUNNEL_TUNNEL_WARM_H
#define CACHETUNNEL_TUNNEL_WARM_H

#include "tunnel/dialer.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Keeps connections ready for clients that are still to come: dialled, verified, and never used.
 * A client gets one for itself alone, and another takes its place in the background. One that
 * the server closes, or whose server is the primary no longer, is dropped. One keeper for each
 * service, worker and setup.
 */

struct warm;

/* Begins to make `count` connections; `request` is what to dial them with (what it names is
 * borrowed until warm_free()). Returns owned; NULL: no memory. */
struct warm *warm_new(const struct dial_request *request, size_t count);

/* Closes them all. Not from inside its callbacks or those of its streams. NULL is fine. */
void warm_free(struct warm *warm);

/* Takes one, as a dial would have made it; the stream is then the caller's. False: there is none
 * at present. */
bool warm_take(struct warm *warm, struct dial_outcome *ret_outcome) ATTR_MUST_CHECK;

/* Makes all of them anew: those that are there may be dead without knowing it. NULL is fine. */
void warm_renew(struct warm *warm);

/* How many are ready. NULL is fine. */
size_t warm_count(const struct warm *warm);

#endif
