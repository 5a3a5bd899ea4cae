#ifndef CACHETUNNEL_SSH_LOGIN_MEMORY_H
#define CACHETUNNEL_SSH_LOGIN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What the last login to a bastion has taught the next one: which key of the server's to ask for,
 * and which of ours was accepted. Beginning with that saves a round trip for each key before it and one for the question which methods there are,
 * and attempts, of which servers allow few. All zero at first. Owned by whoever owns the
 * sessions; written and read by them only
 * (session.c, login.c).
 */
struct ssh_login_memory {
	/* Of a server with a pin: types of host keys that it has shown and that are not the pinned
	 * one. The next session asks for others. */
	unsigned seen_host_keys;

	bool is_set; /* the rest */
	bool was_by_agent;
	size_t index;                /* of the key file or the agent's key */
	bool is_certificate_refused; /* then the key alone is offered */
};

#endif
