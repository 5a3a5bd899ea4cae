#include "drain.h"

#include "base/attributes.h"
#include "base/memory.h"
#include "serving.h"
#include "tunnel/inbox.h"
#include "tunnel/worker.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

/* A worker's word that it has no tunnel left. */
struct empty_message {
	struct message message; /* first, so that the two can be cast */
	struct drain *drain;
};

struct drain {
	drain_done_cb *on_done;
	void *arg;
	size_t left; /* workers that have tunnels */
	struct event timer;
	struct empty_message messages[]; /* one for each worker */
};

static void
receive_empty(struct message *message, void *receiver ATTR_UNUSED)
{
	struct drain *drain = ((struct empty_message *)(void *)message)->drain;

	if (--drain->left > 0)
		return;
	(void)event_del(&drain->timer);
	drain->on_done(drain->arg, true);
}

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct drain *drain = arg;

	drain->on_done(drain->arg, false);
}

struct drain *
drain_start(struct serving *serving, struct event_base *base, struct inbox *inbox, int timeout_s,
	    drain_done_cb *on_done, void *arg)
{
	size_t count = serving_worker_count(serving);
	struct drain *drain = memory_zero(sizeof *drain + count * sizeof drain->messages[0]);
	const struct timeval timeout = {.tv_sec = timeout_s};

	drain->on_done = on_done;
	drain->arg = arg;
	drain->left = count;
	(void)event_assign(&drain->timer, base, -1, 0, on_timer, drain);
	(void)event_add(&drain->timer, &timeout);
	serving_stop_accepting(serving);
	for (size_t i = 0; i < count; i++) {
		drain->messages[i].message.receive = receive_empty;
		drain->messages[i].drain = drain;
		worker_drain(serving_worker(serving, i), &drain->messages[i].message, inbox);
	}
	return drain;
}

void
drain_free(struct drain *drain)
{
	if (drain == NULL)
		return;
	(void)event_del(&drain->timer);
	free(drain);
}
