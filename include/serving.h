#ifndef CACHETUNNEL_SERVING_H
#define CACHETUNNEL_SERVING_H

#include "base/err.h"
#include "config/report.h"
#include "tunnel/setup.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * What serves clients: the listeners of a setup, the workers, and the way of a client from the one
 * to the other. A reload hands it another setup. It is the main thread's; it knows nothing of
 * signals and service managers.
 */

enum { SERVING_TEXT_SIZE = 160 };

struct activation;
struct event_base;
struct listener;
struct serving;
struct worker;

/* Binds every listener of `setup`, of which it takes a reference, but for those that `activation`
 * (borrowed while it lives; NULL: none) has. Returns owned; NULL with the errors in `report`. */
struct serving *serving_open(struct setup *setup, const struct activation *activation,
			     struct report *report);

/* Starts the workers and accepts clients in `base` (borrowed). */
bool serving_start(struct serving *serving, struct event_base *base,
		   struct err *err) ATTR_MUST_CHECK;

/* The first half of a change to `setup`, of which it takes a reference: binds listeners that are
 * new. False, with the errors in `report`: nothing has changed. */
bool serving_prepare(struct serving *serving, struct setup *setup,
		     struct report *report) ATTR_MUST_CHECK;

/* The second half: clients are served by that setup now. Listeners on addresses that stay keep
 * their sockets, others close. Clients that are there stay with what they began with. */
void serving_switch(struct serving *serving);

/* Instead of the second half: everything stays as it is. */
void serving_forget(struct serving *serving);

/* Closes the listeners. */
void serving_stop_accepting(struct serving *serving);

/* How many clients there are. */
int serving_client_count(const struct serving *serving);

/* Borrowed. */
struct setup *serving_setup(const struct serving *serving);
size_t serving_worker_count(const struct serving *serving);
struct worker *serving_worker(const struct serving *serving, size_t index);
struct worker *const *serving_workers(const struct serving *serving);
struct listener *const *serving_listeners(const struct serving *serving); /* for each service */

/* Logs where the service listens and what it connects to. */
void serving_log_service(const struct service *service);

/* Says in a few words what is served. Returns `out`. */
char *serving_describe(const struct serving *serving, char *out, size_t size);

/* Closes listeners and tunnels, ends the workers, and frees it all. NULL is fine. */
void serving_free(struct serving *serving);

#endif
