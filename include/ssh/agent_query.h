#ifndef CACHETUNNEL_SSH_AGENT_QUERY_H
#define CACHETUNNEL_SSH_AGENT_QUERY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A question to an SSH agent by somebody who can wait: for the time of loading, not for workers.
 */

/* Whether the agent whose socket is at `path` has the key with this public half (as it goes over
 * the wire) now. Waits for the answer, 2 s at most. An agent that is gone, locked or silent has
 * none. */
bool agent_query_has(const char *path, const unsigned char *blob, size_t length);

#endif
