#ifndef CACHETUNNEL_TUNNEL_ACTIVATION_H
#define CACHETUNNEL_TUNNEL_ACTIVATION_H

#include "base/err.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Listening sockets that a service manager opened for us (sd_listen_fds(3)), instead of what
 * `accept` says. They stay open as long as the daemon runs, as they do in the service manager.
 */

struct activation;

/* Takes what the environment names, and clears it, so that no child takes it as well. First thing
 * in the process. Returns owned; NULL where there is nothing. */
struct activation *activation_take(void);

/* Closes the descriptors. NULL is fine. */
void activation_free(struct activation *activation);

/* Gives each socket to a service: to the one that has its name (FileDescriptorName=). Where no
 * service has any, in order, as stunnel does. Once, before the first search; later
 * configurations find them by the service's name. False: a socket is left over. */
bool activation_assign(struct activation *activation, const struct config *config,
		       struct err *err) ATTR_MUST_CHECK;

/* A descriptor of its own for a passed socket, non-blocking; -1 with `err`, also if nobody listens
 * on it. */
int activation_duplicate(int passed, struct err *err);

/* The nth socket of the service, from 0: a descriptor, borrowed; -1: there is none. NULL is fine. */
int activation_find(const struct activation *activation, const char *service, size_t nth);

#endif
