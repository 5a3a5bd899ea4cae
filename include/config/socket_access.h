#ifndef CACHETUNNEL_CONFIG_SOCKET_ACCESS_H
#define CACHETUNNEL_CONFIG_SOCKET_ACCESS_H

#include "config/option.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Who may use a unix socket, as the configuration writes it: the mode of its file, and users by
 * name or number. Names are looked up while the configuration is read, so that nobody has to wait
 * for the name service when a client connects.
 */

struct user_list {
	uid_t *items; /* owned */
	size_t count;
};

enum { SOCKET_MODE_UNSET = -1 };

/* Whether the user is in the list. An empty list has nobody in it. */
bool user_list_has(const struct user_list *list, uid_t user);

extern const struct option_type option_type_file_mode; /* int; SOCKET_MODE_UNSET while unset */
extern const struct option_type option_type_users;     /* struct user_list; cumulative */

#endif
