#ifndef CACHETUNNEL_CONFIG_NAME_SERVERS_H
#define CACHETUNNEL_CONFIG_NAME_SERVERS_H

#include "config/option.h"

/* The type of `resolver`: "ADDRESS[:PORT],…", kept as an owned text without blanks, in which an
 * IPv6 address with a port is in brackets. */
extern const struct option_type option_type_name_servers;

#endif
