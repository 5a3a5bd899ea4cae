#ifndef CACHETUNNEL_CONFIG_SOCKET_OPTIONS_H
#define CACHETUNNEL_CONFIG_SOCKET_OPTIONS_H

#include "config/option.h"

/* The type of `socket = a|l|r:NAME=VALUE[:VALUE]`, read into values ready for setsockopt().
 * It applies nothing: the sockets' owners do. */

extern const struct option_type option_type_socket; /* struct socket_option_list; cumulative */

#endif
