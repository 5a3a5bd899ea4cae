#ifndef CACHETUNNEL_TUNNEL_WORKER_H
#define CACHETUNNEL_TUNNEL_WORKER_H

#include "base/err.h"
#include "base/list.h"
#include "tunnel/inbox.h"
#include "tunnel/setup.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/*
 * One thread with its own event loop, resolver, generation and tunnels. Nothing of it is touched
 * from another thread; clients come in through its inbox.
 */

struct demotion;
struct event_base;
struct generation;
struct health_book;
struct resolver;
struct scratch;
struct tunnels;
struct worker;

/* A client that was accepted, on its way to a worker. */
struct worker_client {
	int fd;              /* taken */
	struct setup *setup; /* one reference, taken; the client is counted in it */
	size_t service_index;
	struct sockaddr_storage peer;
	socklen_t peer_length;
};

/* For the main thread. */

struct worker_request {
	struct setup *setup; /* borrowed; the worker takes a reference of its own */
	size_t index;        /* which of how many */
	size_t count;
	struct inbox *host;                   /* borrowed; the main thread's, where news go */
	message_receive_cb *receive_demotion; /* there: a struct demotion that a worker heard */
};

/* Makes a worker with its generation of the setup, and starts its thread, with all signals
 * blocked. Returns owned. */
struct worker *worker_start(const struct worker_request *request, struct err *err);

/* Hands a client over. False when memory ran out; then nothing was taken. */
bool worker_submit(struct worker *worker, const struct worker_client *client) ATTR_MUST_CHECK;

/* Has its thread receive the message, which it takes; `receiver` is the worker then. Any thread. */
void worker_post(struct worker *worker, struct message *message);

/* Begins with what should be ready before clients come: `eager` bastions, warm connections. */
void worker_warm_up(struct worker *worker);

/* Serves clients that come later by `setup`, of which it takes a reference of its own; those who
 * are there stay with theirs. Without memory it happens with the first such client. */
void worker_renew(struct worker *worker, struct setup *setup);

/* Ends each tunnel as soon as it is at rest. When none is left, `when_empty` (borrowed until then)
 * is posted to `inbox`. No client may be submitted afterwards. */
void worker_drain(struct worker *worker, struct message *when_empty, struct inbox *inbox);

/* The machine has slept: looks at once at what may have changed meanwhile. */
void worker_wake(struct worker *worker);

/* Another worker has heard that a server is the primary no longer; `demotion` is borrowed. */
void worker_tell_demotion(struct worker *worker, const struct demotion *demotion);

/* Logs its tunnels. */
void worker_list_tunnels(struct worker *worker);

/* How many clients it has, those in its inbox included. */
int worker_load(const struct worker *worker);

/* Closes every tunnel, ends the thread, and frees the worker. NULL is fine. */
void worker_stop(struct worker *worker);

/* Work that a message began in the worker's thread. If the worker stops before it is over, `cancel`
 * ends it and frees it. */
struct worker_task {
	struct list link; /* list_remove() it when it is over */
	void (*cancel)(struct worker_task *task);
};
void worker_add_task(struct worker *worker, struct worker_task *task);
bool worker_has_task(const struct worker *worker);

/* The generation that new tunnels begin in; borrowed. */
struct generation *worker_generation(const struct worker *worker);

/* All that have tunnels or new clients, for generation_of(); borrowed. */
const struct list *worker_generations(const struct worker *worker);

/* What it has seen; borrowed. */
struct health_book *worker_health_book(struct worker *worker);

/* What is its own, for its tunnels and inquiries, in its thread. All borrowed. */

struct event_base *worker_base(struct worker *worker);
struct resolver *worker_resolver(struct worker *worker);
struct scratch *worker_scratch(struct worker *worker);

struct tunnels *worker_tunnels(const struct worker *worker);

#endif
