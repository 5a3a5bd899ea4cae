#ifndef CACHETUNNEL_SSH_CHILD_H
#define CACHETUNNEL_SSH_CHILD_H

#include <sys/types.h>

/*
 * Starting a shell command from a process with threads: what happens between fork() and exec,
 * where only async-signal-safe functions may be called. Who starts a child also reaps it.
 */

/* Runs `sh -c COMMAND` with `in_out` as its standard input and output and `errors` as its
 * standard error; it gets no other descriptor, default signal actions, no blocked signals, and a
 * session and process group of its own. All are borrowed. Returns its process id, which is the
 * group's too; -1 with errno set on failure. A shell that cannot be run is told by the child, on
 * its standard error and by exit status 127. */
pid_t child_start(const char *command, int in_out, int errors);

#endif
