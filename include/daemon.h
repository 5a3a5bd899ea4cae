#ifndef CACHETUNNEL_DAEMON_H
#define CACHETUNNEL_DAEMON_H

#include "arguments.h"

/*
 * The daemon's life: start, run, stop. The main thread accepts clients and hands them to the
 * workers; it owns the listeners, the workers and the signals.
 */

/* Runs until a signal asks for the end. Returns the exit status: 0 after that, 1 when the start
 * failed, with the reasons on standard error. */
int daemon_run(const struct arguments *arguments);

/* Validates the configuration and every file that it names, and says what it found. Returns the
 * exit status: 0 or 1. */
int daemon_check(const struct arguments *arguments);

#endif
