#ifndef CACHETUNNEL_CONFIG_SSH_QUERY_H
#define CACHETUNNEL_CONFIG_SSH_QUERY_H

#include "base/err.h"

#include <stdbool.h>

/*
 * Runs `ssh -G NAME`, without a shell, and reads what it prints: at most 64 KiB, for at most
 * 10 s. The caller waits meanwhile, usually for a few milliseconds. Private to this layer.
 *
 * The program is `ssh`, as PATH finds it, or what the environment variable CACHETUNNEL_SSH
 * names: that is for tests.
 */

/* `name` must not begin with '-'. `*ret_output` is owned, for free(). On failure `err` says why,
 * in ssh's own words where it has some. */
bool ssh_query(const char *name, char **ret_output, struct err *err) ATTR_MUST_CHECK;

#endif
