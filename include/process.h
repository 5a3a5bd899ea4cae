#ifndef CACHETUNNEL_PROCESS_H
#define CACHETUNNEL_PROCESS_H

#include "base/err.h"
#include "config/options.h"

#include <stdbool.h>

/*
 * What makes a program a daemon: limits, chroot, another user, a life in the background, a pid
 * file. Used once, at start, before there is any other thread.
 */

/* No core files (clients' data is in memory), and as many descriptors as the system grants.
 * Returns that number. */
int process_set_limits(void);

/* `chroot`, `setgid` and `setuid`, in this order; what is not set is left as it is. */
bool process_confine(const struct global_options *options, struct err *err) ATTR_MUST_CHECK;

/* `path` seen from /, for when the present directory is left. Links are not followed: they may
 * lead elsewhere later. Returns owned. */
char *process_absolute_path(const char *path);

/* Whether stderr leads to systemd's journal. */
bool process_is_stderr_journal(void);

/* Goes on in a child process; the parent waits for process_report_ready() and then exits with 0,
 * or with 1 if the child exits before. False if that failed, in the parent. */
bool process_detach(struct err *err) ATTR_MUST_CHECK;

/* Lets the parent go, and the terminal with it. Harmless if not detached. */
void process_report_ready(void);

/* Replaces whatever is at `path` by a file with our process id. */
bool process_write_pid(const char *path, struct err *err) ATTR_MUST_CHECK;

#endif
