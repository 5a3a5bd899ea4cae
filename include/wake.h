#ifndef CACHETUNNEL_WAKE_H
#define CACHETUNNEL_WAKE_H

/*
 * Notices that the machine has slept, as laptops do, and has every worker look at once at what may
 * have changed meanwhile (worker_wake()). Its timers stood still: without this, a name would be
 * looked up, or a bastion asked for a sign of life, as late as if no time had passed.
 */

struct event_base;
struct serving;
struct wake;

/* Both borrowed while the handle lives. Returns owned. */
struct wake *wake_start(struct serving *serving, struct event_base *base);

/* Not while workers are being stopped. NULL is fine. */
void wake_free(struct wake *wake);

#endif
