#include "tunnel/warm.h"

#include "base/clock.h"
#include "base/list.h"
#include "tunnel/backoff.h"
#include "tunnel/endpoints.h"
#include "tunnel/watch.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

enum {
	/* Between a client's taking one and the handshake that replaces it: the client's first
	 * request and its reply go first. A handshake takes this worker about half a millisecond
	 * (measured by bench/), a round trip in one network rarely more than a few. */
	REFILL_DELAY_MS = 10,
};

/* A connection that ends sooner has not really been one. */
static const uint64_t steady_us = 5 * UINT64_C(1000000);

enum item_state {
	ITEM_DIALLING,
	ITEM_READY,
	ITEM_DEAD, /* is freed in the keeper's next turn, outside of its own callbacks */
};

struct warm_item {
	struct list link;
	struct warm *warm;
	uint64_t ready_us;     /* since when */
	enum item_state state; /* written by set_state() only */
	struct dial *dial;     /* owned; kept until it may be freed */
	struct dial_outcome outcome;
	struct watch_user user; /* where the endpoint may move */
};

struct warm {
	struct dial_request request;
	size_t count; /* how many are wanted */
	struct list items;
	struct event turn; /* frees the dead, and begins with what is missing */
	struct backoff backoff;
};

static void
set_state(struct warm_item *item, enum item_state state)
{
	assert(state > item->state);
	item->state = state;
}

static struct warm_item *
item_of(struct list *link)
{
	return LIST_ITEM(link, struct warm_item, link);
}

static void
free_item(struct warm_item *item)
{
	watch_leave(&item->user);
	list_remove(&item->link);
	dial_free(item->dial);
	stream_free(item->outcome.stream);
	free(item);
}

static void
take_turn(struct warm *warm)
{
	event_active(&warm->turn, EV_TIMEOUT, 0);
}

/* One was taken. While others are ready there is time. */
static void
refill_soon(struct warm *warm)
{
	const struct timeval delay = {.tv_usec = REFILL_DELAY_MS * 1000};

	if (warm_count(warm) == 0)
		take_turn(warm);
	else if (!event_pending(&warm->turn, EV_TIMEOUT, NULL))
		(void)event_add(&warm->turn, &delay);
}

/* Nobody will get it; the next turn frees it. */
static void
discard(struct warm_item *item, const char *why)
{
	log_write(item->warm->request.log, LOG_LEVEL_DEBUG,
		  "Service [%s]: a warm connection to %s is dropped: %s",
		  item->warm->request.service->service->name, item->outcome.name, why);
	stream_set_interest(item->outcome.stream, 0);
	watch_leave(&item->user);
	set_state(item, ITEM_DEAD);
	take_turn(item->warm);
}

static void
drop(struct warm_item *item, const char *why)
{
	if (item->state != ITEM_DEAD)
		discard(item, why);
}

/* A server that takes connections and ends them soon (too many clients, protected mode, a load
 * balancer with nobody behind it) is left alone for longer each time. */
static void
drop_ended(struct warm_item *item)
{
	struct backoff *backoff = &item->warm->backoff;
	uint64_t now_us = clock_now_us();

	if (item->state == ITEM_DEAD)
		return;
	if (now_us - item->ready_us < steady_us)
		(void)backoff_fail(backoff, now_us, false);
	else
		backoff_reset(backoff);
	discard(item, "the server ended it");
}

static void
on_moved(void *arg, const char *why)
{
	drop(arg, why);
}

/* A server has nothing to say before it is asked, but for TLS's own messages, which are read on
 * the way and give no bytes. */
static bool
is_alive(const struct warm_item *item)
{
	unsigned char byte;
	size_t count;

	return stream_read(item->outcome.stream, &byte, sizeof byte, &count, NULL) == STREAM_AGAIN;
}

/* Not while a better endpoint is up: that may have come back since. */
static bool
is_wanted(const struct warm_item *item)
{
	const struct dial_request *request = &item->warm->request;
	const struct address *endpoints = request->service->service->options.connect.items;

	return endpoints_is_wanted(request->endpoints,
				   (size_t)(item->outcome.endpoint - endpoints));
}

static void
on_ready(void *arg, struct stream *stream ATTR_UNUSED, unsigned ready ATTR_UNUSED)
{
	struct warm_item *item = arg;

	if (!is_alive(item))
		drop_ended(item);
}

static void
keep(struct warm_item *item, const struct dial_outcome *outcome)
{
	const struct dial_request *request = &item->warm->request;
	const struct address *endpoints = request->service->service->options.connect.items;

	item->outcome = *outcome;
	item->outcome.is_warm = true;
	item->ready_us = clock_now_us();
	set_state(item, ITEM_READY);
	stream_set_handler(outcome->stream, on_ready, item);
	stream_set_interest(outcome->stream, STREAM_READ);
	if (request->watches == NULL)
		return;
	item->user.address = outcome->address;
	item->user.chosen_us = outcome->chosen_us;
	item->user.on_moved = on_moved;
	item->user.arg = item;
	watch_join(request->watches[outcome->endpoint - endpoints], &item->user);
}

static void
on_dialled(void *arg, const struct dial_outcome *outcome, const struct err *err)
{
	struct warm_item *item = arg;
	struct warm *warm = item->warm;

	if (outcome != NULL) {
		keep(item, outcome);
		return;
	}
	log_write(warm->request.log, LOG_LEVEL_INFO, "Service [%s]: no warm connection: %s",
		  warm->request.service->service->name, err->text);
	(void)backoff_fail(&warm->backoff, clock_now_us(), false);
	set_state(item, ITEM_DEAD);
	take_turn(warm);
}

static bool
begin_one(struct warm *warm)
{
	struct warm_item *item = calloc(1, sizeof *item);

	if (item == NULL)
		return false;
	item->warm = warm;
	list_init(&item->user.link);
	list_append(&warm->items, &item->link);
	item->dial = dial_start(&warm->request, on_dialled, item);
	if (item->dial != NULL)
		return true;
	free_item(item);
	return false;
}

/* Returns how many are left. */
static size_t
free_dead(struct warm *warm)
{
	size_t alive = 0;
	struct list *next;

	for (struct list *link = warm->items.next; link != &warm->items; link = next) {
		struct warm_item *item = item_of(link);
		next = link->next;
		if (item->state == ITEM_DEAD)
			free_item(item);
		else
			alive++;
	}
	return alive;
}

static void
on_turn(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct warm *warm = arg;
	size_t alive = free_dead(warm);
	uint64_t pause_us = backoff_left_us(&warm->backoff, clock_now_us());
	const struct timeval pause = clock_span(pause_us);

	if (alive < warm->count && pause_us > 0) {
		(void)event_add(&warm->turn, &pause);
		return;
	}
	for (; alive < warm->count && begin_one(warm); alive++)
		continue;
}

struct warm *
warm_new(const struct dial_request *request, size_t count)
{
	struct warm *warm = calloc(1, sizeof *warm);

	if (warm == NULL)
		return NULL;
	warm->request = *request;
	warm->count = count;
	list_init(&warm->items);
	(void)event_assign(&warm->turn, request->base, -1, 0, on_turn, warm);
	take_turn(warm);
	return warm;
}

void
warm_free(struct warm *warm)
{
	if (warm == NULL)
		return;
	(void)event_del(&warm->turn);
	while (!list_is_empty(&warm->items))
		free_item(item_of(warm->items.next));
	free(warm);
}

bool
warm_take(struct warm *warm, struct dial_outcome *ret_outcome)
{
	for (struct list *link = warm->items.next; link != &warm->items; link = link->next) {
		struct warm_item *item = item_of(link);
		if (item->state != ITEM_READY)
			continue;
		if (!is_alive(item)) {
			drop_ended(item);
			continue;
		}
		if (!is_wanted(item)) {
			drop(item, "another endpoint comes first");
			continue;
		}
		backoff_reset(&warm->backoff);
		*ret_outcome = item->outcome;
		stream_set_interest(item->outcome.stream, 0);
		stream_set_handler(item->outcome.stream, NULL, NULL);
		item->outcome.stream = NULL;
		watch_leave(&item->user);
		set_state(item, ITEM_DEAD);
		refill_soon(warm);
		return true;
	}
	return false;
}

void
warm_renew(struct warm *warm)
{
	if (warm == NULL)
		return;
	warm->backoff = (struct backoff){0};
	for (struct list *link = warm->items.next; link != &warm->items; link = link->next) {
		if (item_of(link)->state == ITEM_READY)
			drop(item_of(link), "this machine has slept");
	}
	take_turn(warm);
}

size_t
warm_count(const struct warm *warm)
{
	size_t count = 0;

	if (warm == NULL)
		return 0;
	for (struct list *link = warm->items.next; link != &warm->items; link = link->next)
		count += item_of(link)->state == ITEM_READY ? 1 : 0;
	return count;
}
