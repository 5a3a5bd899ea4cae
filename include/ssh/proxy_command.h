#ifndef CACHETUNNEL_SSH_PROXY_COMMAND_H
#define CACHETUNNEL_SSH_PROXY_COMMAND_H

#include "base/err.h"
#include "base/log.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * `proxyCommand`: a child whose standard input and output are the way to a bastion. It runs
 * under `sh -c`, on one end of a socket pair; the other end becomes an ordinary socket stream.
 * What it writes to standard error goes to the log, line by line; when it ends it is reaped, and
 * how it ended is told. SIGCHLD is not needed, and must not be ignored in the process.
 *
 * The child has a session of its own, and so no terminal: a command that would ask for a
 * password fails instead of being stopped for it. Whatever it starts belongs to its process
 * group, and ends with it, unless it leaves that on purpose (as ssh's ControlPersist does).
 */

struct event_base;
struct proxy_command;

/* Replaces %h, %p, %r and %% in `text`. Host and user are quoted for the shell where they have
 * anything but letters, digits and "._-:@". Returns owned, for free(); NULL with `err` for an
 * unknown sequence, or for a host or user that would be taken as an option ("-…"). */
char *proxy_command_expand(const char *text, const char *host, unsigned port, const char *user,
			   struct err *err);

/* Runs `command` (expanded already, borrowed for the call). `base` is borrowed; `log` is too,
 * until proxy_command_stop(). `*ret_fd` (non-blocking, owned by the caller) leads to the child.
 * No descriptor of ours but these goes to the child, and its signals are as in a fresh process.
 * Returns owned; NULL with `err`. */
struct proxy_command *proxy_command_start(struct event_base *base, const char *command,
					  const struct log_scope *log, int *ret_fd,
					  struct err *err);

/* Ends the child if it still runs, reaps it, and frees the handle, without blocking: SIGTERM to
 * its process group now, SIGKILL a second later if need be. Nothing is logged or called any more.
 * From here on the handle belongs to itself: a timer in `base` frees it once the child is gone.
 * NULL is fine; so is a call from inside the callback below. */
void proxy_command_stop(struct proxy_command *proxy);

/* For whoever is about to free `base`, after its last loop: waits for the children that were
 * stopped and are not gone yet, a second and a half at most, and frees what their handles hold.
 * A child that even SIGKILL does not end within that time (it hangs in the kernel) is left to
 * the init process. */
void proxy_command_finish(struct event_base *base);

/* How the child has ended, for a message: "exit status 1", "killed by signal 9", followed by its
 * last line on standard error where there was one; NULL while it runs. Borrowed. */
const char *proxy_command_outcome(struct proxy_command *proxy);

/* The child has ended. `outcome` is that of proxy_command_outcome(), borrowed for the call. */
typedef void proxy_command_end_cb(void *arg, const char *outcome);

/* Tells `on_end`, once and from the loop, that the child has ended, be it before or after this
 * call. A child is seen to end a moment after its end of the socket closes: whoever wants to put
 * the outcome into a message asks here then, and gives it a moment. NULL: nobody. */
void proxy_command_set_handler(struct proxy_command *proxy, proxy_command_end_cb *on_end,
			       void *arg);

#endif
