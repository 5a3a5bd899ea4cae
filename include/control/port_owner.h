#ifndef CACHETUNNEL_CONTROL_PORT_OWNER_H
#define CACHETUNNEL_CONTROL_PORT_OWNER_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * Who listens on an address of this machine, as Linux's /proc tells it; elsewhere nobody is found.
 * For diagnoses: it reads the descriptors of every process that it may look into.
 */

enum { PORT_OWNER_NAME_SIZE = 64 };

struct port_owner {
	uid_t user;
	pid_t pid;                       /* 0: it could not be found, being another user's */
	char name[PORT_OWNER_NAME_SIZE]; /* the program's, as the kernel has it */
};

/* Whether somebody listens on `address` (internet or unix), or on its port at any address, and
 * who that is. */
bool port_owner_find(const struct sockaddr_storage *address, struct port_owner *ret_owner);

#endif
