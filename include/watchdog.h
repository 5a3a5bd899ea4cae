#ifndef CACHETUNNEL_WATCHDOG_H
#define CACHETUNNEL_WATCHDOG_H

#include <stdint.h>

/*
 * Tells systemd that the daemon is alive (WatchdogSec=), and that is: every worker. Each is asked
 * by a message, and only when all have answered the service manager is told. So a worker that
 * hangs, not just a main thread, gets the service restarted.
 */

struct event_base;
struct inbox;
struct serving;
struct watchdog;

/* How often the service manager wants to hear from this process (WATCHDOG_USEC), in microseconds;
 * 0: it does not. */
uint64_t watchdog_interval_us(void);

/* Asks twice within `interval_us`. All borrowed while the handle lives; the inbox is the caller's
 * thread's. Returns owned. */
struct watchdog *watchdog_start(struct serving *serving, struct event_base *base,
				struct inbox *inbox, uint64_t interval_us);

/* Not before the workers have ended. NULL is fine. */
void watchdog_free(struct watchdog *watchdog);

#endif
