#ifndef CACHETUNNEL_CONTROL_NETWORK_H
#define CACHETUNNEL_CONTROL_NETWORK_H

#include <stdbool.h>
#include <sys/socket.h>

/* What this machine's networks tell about an address. For diagnoses; may block for a moment. */

/* Whether it is one that the internet does not route (RFC 1918, RFC 6598, RFC 4193). */
bool network_is_private(const struct sockaddr_storage *address);

/* Whether a network of this machine's own holds it, loopback included. */
bool network_is_own(const struct sockaddr_storage *address);

/* Whether there is any route to it. Sends nothing. */
bool network_has_route(const struct sockaddr_storage *address, socklen_t length);

#endif
