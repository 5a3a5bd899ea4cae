#ifndef CACHETUNNEL_TUNNEL_RESOLVED_H
#define CACHETUNNEL_TUNNEL_RESOLVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Addresses, as a lookup gives them: plain data, copied at will. */

enum { RESOLVED_MAX_ADDRESSES = 16 };

struct resolved_address {
	struct sockaddr_storage storage;
	socklen_t length;
};

struct resolved {
	size_t count;
	struct resolved_address items[RESOLVED_MAX_ADDRESSES];
	int fresh_s;   /* how long the answer holds, by its own account */
	bool is_stale; /* the name could not be looked up now: this is its last good answer */
	int unheard;   /* the address family that nothing was heard of, as its answer failed or was
			* late; 0: none */
};

/* Whether two addresses are the same, ports included. */
bool resolved_is_same(const struct resolved_address *left, const struct resolved_address *right);

/* Whether `address` is among those of `resolved`. */
bool resolved_contains(const struct resolved *resolved, const struct resolved_address *address);

/* Appends an internet address; false when there is no room left, or it is of another family. */
bool resolved_add(struct resolved *resolved, const struct sockaddr *address, socklen_t length);

/* Sets the port of every address. */
void resolved_set_port(struct resolved *resolved, uint16_t port);

#endif
