#ifndef CACHETUNNEL_CONFIG_ROLE_H
#define CACHETUNNEL_CONFIG_ROLE_H

#include "config/options.h"

/* What a service's endpoints are, by their names, where ElastiCache made these: ROLE_PRIMARY or
 * ROLE_REPLICA if all of them say so, else ROLE_ANY. */
enum role role_guess(const struct address_list *endpoints);

#endif
