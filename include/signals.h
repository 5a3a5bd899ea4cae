#ifndef CACHETUNNEL_SIGNALS_H
#define CACHETUNNEL_SIGNALS_H

#include <stdbool.h>

/*
 * The signals that the daemon listens to, as calls in the main thread's loop. What they mean is the
 * daemon's business.
 */

struct event_base;
struct signals;

/* One of SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2. */
typedef void signals_cb(void *arg, int number);

/* Holds them back until signals_release(): what is asked for while the daemon starts counts once
 * it can do it in order. */
void signals_hold(void);
void signals_release(void);

/* Listens in `base` (borrowed); but a signal that was ignored when we were started (nohup) stays
 * ignored. Returns owned; NULL: no memory. */
struct signals *signals_new(struct event_base *base, signals_cb *on_signal, void *arg);
void signals_free(struct signals *signals); /* NULL is fine */

/* "SIGTERM"; static. */
const char *signals_name(int number);

#endif
