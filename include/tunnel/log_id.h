#ifndef CACHETUNNEL_TUNNEL_LOG_ID_H
#define CACHETUNNEL_TUNNEL_LOG_ID_H

#include "base/log.h"

/* The id that a tunnel's log lines carry, as the service's `logId` says, and its `debug` level. */

struct service_options;

/* Fills `scope` for a new tunnel. Any thread. */
void log_id_begin(struct log_scope *scope, const struct service_options *options);

#endif
