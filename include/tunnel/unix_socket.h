#ifndef CACHETUNNEL_TUNNEL_UNIX_SOCKET_H
#define CACHETUNNEL_TUNNEL_UNIX_SOCKET_H

#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * A listening unix socket: its place in the file system, and who may come to it. Accepting, and
 * removing the file, are for whoever holds the socket.
 */

/* Who may connect, as far as the file decides. */
struct unix_socket_access {
	const char *owner; /* name or number; NULL: us */
	const char *group; /* name or number; NULL: ours */
	int mode;          /* -1: what the umask leaves */
};

/* Listens at `path`, non-blocking and closed on exec. A socket file that nobody listens on is left
 * over from a process that was killed, and is replaced; a live one is refused, with its process
 * named where the system tells. The file has its owner and mode before anybody can connect.
 * Returns the descriptor; -1 with `err`, and nothing of ours left behind. May block, on the lookup
 * of a name. */
int unix_socket_listen(const char *path, const struct unix_socket_access *access, int backlog,
		       struct err *err);

/* Which file that is: whoever removes it and makes another one at the same place has another. */
struct unix_socket_file {
	dev_t device;
	ino_t inode;
};

/* Fills `ret_file` with what is at `path`; zero: nothing. */
void unix_socket_identify(const char *path, struct unix_socket_file *ret_file);

/* Whether `file` is still at `path`. */
bool unix_socket_is_in_place(const char *path, const struct unix_socket_file *file);

#endif
