#ifndef CACHETUNNEL_TUNNEL_SOCKET_SETUP_H
#define CACHETUNNEL_TUNNEL_SOCKET_SETUP_H

#include "base/err.h"
#include "config/options.h"

#include <stdbool.h>
#include <sys/socket.h>

/*
 * What every socket of ours gets before use: our defaults, and then the service's `socket`
 * options, which win. Also sockaddrs as text, and as what they are.
 */

enum { SOCKET_NAME_SIZE = 128 };

/* Applies the options of this side to `fd`, whose address family is `family`. Our defaults are
 * TCP_NODELAY and keepalive for connections, SO_REUSEADDR for listeners; a unix socket has none.
 * A peer that is silent for `dead_s` seconds although we have asked, or sent something, is given up;
 * 0: after two minutes, or the system's time.
 * False when the system refuses an option of the configuration. */
bool socket_setup(int fd, int family, enum socket_side side, int dead_s,
		  const struct socket_option_list *options, struct err *err) ATTR_MUST_CHECK;

/* Writes "127.0.0.1:6379", "[::1]:6379" or "/path"; "unix socket" for a nameless one.
 * Returns `out`. */
char *socket_name(const struct sockaddr_storage *address, socklen_t length, char *out, size_t size);

/* Fills the address of the unix socket at `path`. False when the path is too long for one. */
bool socket_unix_address(const char *path, struct sockaddr_storage *ret_address,
			 socklen_t *ret_length, struct err *err) ATTR_MUST_CHECK;

#endif
