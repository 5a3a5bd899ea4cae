#ifndef CACHETUNNEL_CONTROL_CONTROL_SOCKET_H
#define CACHETUNNEL_CONTROL_CONTROL_SOCKET_H

#include "base/err.h"
#include "config/options.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The control socket's place in the file system: which one it is, for the daemon and for who
 * looks for it, and that it goes when the daemon goes.
 */

struct control_socket;

/* Whether `setting` (the option `control`) leaves the choice to us. */
bool control_socket_is_auto(const char *setting);

/* Whether there is to be none. */
bool control_socket_is_off(const char *setting);

/* Writes the path that `setting` means to this user. With auto that is cachetunnel/control.sock
 * below /run, if its folder is writable or we are root, else below XDG_RUNTIME_DIR. False with
 * `err` when there is no place. */
bool control_socket_find(const char *setting, char *out, size_t size,
			 struct err *err) ATTR_MUST_CHECK;

/* Listens there, for the user alone who runs the daemon later (`setuid`), and makes the folder that
 * auto means. One that nobody listens on is taken over, a live one is refused. Returns owned;
 * NULL with `err`. Before privileges are given up. */
struct control_socket *control_socket_open(const struct global_options *options, struct err *err);

const char *control_socket_path(const struct control_socket *socket);

/* Hands over the descriptor, once. Says anew who listens: the process may have forked since. */
int control_socket_take(struct control_socket *socket);

/* Removes the file, also after chroot, unless somebody else's has taken its place. NULL is fine. */
void control_socket_close(struct control_socket *socket);

#endif
