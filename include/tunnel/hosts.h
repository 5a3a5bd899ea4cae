#ifndef CACHETUNNEL_TUNNEL_HOSTS_H
#define CACHETUNNEL_TUNNEL_HOSTS_H

#include "tunnel/resolved.h"

/* Looks for `name` in the hosts file at `path` (hosts(5)), reading it anew, and fills in all
 * addresses that its lines give, IPv6 first, with port 0. "localhost" is loopback even if no line
 * says so (RFC 6761, 6.3). False when there is no address. */
bool hosts_find(const char *path, const char *name, struct resolved *ret_addresses);

#endif
