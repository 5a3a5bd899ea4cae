#include "tunnel/endpoints.h"

#include "base/clock.h"
#include "tunnel/backoff.h"
#include "tunnel/dialer.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

/* One that goes down again so soon has not really been back: its pauses go on growing. */
static const uint64_t steady_us = 10 * UINT64_C(1000000);

struct endpoint {
	struct endpoints *all;
	enum endpoint_state state; /* written by set_state() only */
	unsigned open;
	uint64_t turn;     /* when it was taken last; of two alike the one that waits for longer */
	uint64_t since_us; /* it is up or down; 0: since the beginning */
	int64_t since_ms;
	struct err err; /* while it is not up: the last failure */
	struct backoff backoff;
	struct event timer;    /* while down: the next check */
	struct dial *dial;     /* owned; while checking, and until it may be freed */
	struct stream *stream; /* owned; what a check came through with, until it may be freed */
};

struct endpoints {
	struct dial_request check;
	bool is_retired;
	uint64_t turns;
	struct event tidy; /* frees checks outside of their callbacks */
	size_t count;
	struct endpoint items[];
};

static void
set_state(struct endpoint *endpoint, enum endpoint_state state)
{
	static const unsigned allowed[] = {
		[ENDPOINT_UP] = 1 << ENDPOINT_DOWN,
		[ENDPOINT_DOWN] = 1 << ENDPOINT_CHECKING | 1 << ENDPOINT_UP,
		[ENDPOINT_CHECKING] = 1 << ENDPOINT_DOWN | 1 << ENDPOINT_UP,
	};

	assert(allowed[endpoint->state] & 1U << state);
	if (endpoint->state == ENDPOINT_UP || state == ENDPOINT_UP) {
		endpoint->since_us = clock_now_us();
		endpoint->since_ms = clock_wall_ms();
	}
	endpoint->state = state;
}

static const struct service *
service_of(const struct endpoints *endpoints)
{
	return endpoints->check.service->service;
}

static size_t
index_of(const struct endpoint *endpoint)
{
	return (size_t)(endpoint - endpoint->all->items);
}

static const char *
name_of(const struct endpoint *endpoint, char *out, size_t size)
{
	const struct address_list *list = &service_of(endpoint->all)->options.connect;

	return address_format(&list->items[index_of(endpoint)], out, size);
}

/* With one endpoint there is nothing to choose, and clients find out by themselves. */
static bool
is_checked(const struct endpoints *endpoints)
{
	return endpoints->count > 1 && !endpoints->is_retired;
}

/* Whether the left one comes before the right one, by `failover`, both up or both down. */
static bool
is_preferred(const struct endpoint *left, const struct endpoint *right)
{
	int failover = service_of(left->all)->options.failover;

	if (failover == FAILOVER_PRIO)
		return left < right;
	if (failover == FAILOVER_LEAST && left->open != right->open)
		return left->open < right->open;
	return left->turn < right->turn;
}

static bool
is_better(const struct endpoint *left, const struct endpoint *right)
{
	bool is_left_up = left->state == ENDPOINT_UP;
	bool is_right_up = right->state == ENDPOINT_UP;

	return is_left_up != is_right_up ? is_left_up : is_preferred(left, right);
}

static const struct endpoint *
best_of(const struct endpoints *endpoints, const bool *is_tried)
{
	const struct endpoint *best = NULL;

	for (size_t i = 0; i < endpoints->count; i++) {
		const struct endpoint *endpoint = &endpoints->items[i];
		if ((is_tried == NULL || !is_tried[i]) &&
		    (best == NULL || is_better(endpoint, best)))
			best = endpoint;
	}
	return best;
}

static void
wait_for_check(struct endpoint *endpoint, uint64_t pause_us)
{
	const struct timeval pause = clock_span(pause_us);

	if (is_checked(endpoint->all))
		(void)event_add(&endpoint->timer, &pause);
}

static void
log_down(const struct endpoint *endpoint, uint64_t pause_us)
{
	const struct endpoint *next = best_of(endpoint->all, NULL);
	char name[SOCKET_NAME_SIZE];
	char other[SOCKET_NAME_SIZE + 32] = "none of the others is up";
	char text[LOG_TEXT_SIZE];

	if (!is_checked(endpoint->all))
		return;
	if (next->state == ENDPOINT_UP)
		(void)snprintf(other, sizeof other, "new tunnels go to %s",
			       name_of(next, name, sizeof name));
	(void)snprintf(text, sizeof text, "Service [%s]: endpoint %s is down: %s; %s",
		       service_of(endpoint->all)->name, name_of(endpoint, name, sizeof name),
		       endpoint->err.text, other);
	log_write_repeatable(endpoint->all->check.log, LOG_LEVEL_WARNING, NULL, text,
			     "%s; it is tried again in %.1f s", text, (double)pause_us / 1e6);
}

static void
log_back(const struct endpoint *endpoint, uint64_t down_us, const char *how)
{
	char name[SOCKET_NAME_SIZE];

	if (is_checked(endpoint->all))
		log_write(endpoint->all->check.log, LOG_LEVEL_NOTICE,
			  "Service [%s]: endpoint %s is back after %.1f s: %s",
			  service_of(endpoint->all)->name, name_of(endpoint, name, sizeof name),
			  (double)down_us / 1e6, how);
}

static void
come_back(struct endpoint *endpoint, const char *how)
{
	uint64_t down_us = clock_now_us() - endpoint->since_us;

	(void)event_del(&endpoint->timer);
	set_state(endpoint, ENDPOINT_UP);
	log_back(endpoint, down_us, how);
}

static void
drop_check(struct endpoint *endpoint)
{
	dial_free(endpoint->dial);
	endpoint->dial = NULL;
	stream_free(endpoint->stream);
	endpoint->stream = NULL;
}

static void
on_tidy(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct endpoints *endpoints = arg;

	for (size_t i = 0; i < endpoints->count; i++) {
		if (endpoints->items[i].state != ENDPOINT_CHECKING)
			drop_check(&endpoints->items[i]);
	}
}

static void
fail_check(struct endpoint *endpoint, const struct err *err)
{
	endpoint->err = *err;
	set_state(endpoint, ENDPOINT_DOWN);
	wait_for_check(endpoint, backoff_fail(&endpoint->backoff, clock_now_us(), false));
}

static void
on_checked(void *arg, const struct dial_outcome *outcome, const struct err *err)
{
	struct endpoint *endpoint = arg;

	event_active(&endpoint->all->tidy, EV_TIMEOUT, 0);
	if (outcome != NULL)
		endpoint->stream = outcome->stream;
	if (endpoint->state != ENDPOINT_CHECKING) /* a tunnel came through meanwhile */
		return;
	if (outcome != NULL)
		come_back(endpoint, "it takes connections");
	else
		fail_check(endpoint, err);
}

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct endpoint *endpoint = arg;
	struct dial_request request = endpoint->all->check;
	struct err err = {{0}};

	drop_check(endpoint); /* the last one, if nobody has tidied up */
	request.only = &service_of(endpoint->all)->options.connect.items[index_of(endpoint)];
	request.is_anew = true;
	set_state(endpoint, ENDPOINT_CHECKING);
	endpoint->dial = dial_start(&request, on_checked, endpoint);
	if (endpoint->dial != NULL)
		return;
	(void)err_set(&err, "out of memory");
	fail_check(endpoint, &err);
}

/* Turns begin anywhere, so that workers and restarts do not all prefer the first endpoint. */
static void
shuffle(struct endpoints *endpoints)
{
	unsigned char random = 0;

	(void)RAND_bytes(&random, sizeof random);
	for (size_t i = 0; i < endpoints->count; i++)
		endpoints->items[i].turn = (i + random) % endpoints->count;
	endpoints->turns = endpoints->count;
}

struct endpoints *
endpoints_new(const struct dial_request *check)
{
	size_t count = check->service->service->options.connect.count;
	struct endpoints *endpoints =
		calloc(1, sizeof *endpoints + count * sizeof endpoints->items[0]);

	if (endpoints == NULL)
		return NULL;
	endpoints->check = *check;
	endpoints->count = count;
	(void)event_assign(&endpoints->tidy, check->base, -1, 0, on_tidy, endpoints);
	for (size_t i = 0; i < count; i++) {
		struct endpoint *endpoint = &endpoints->items[i];
		endpoint->all = endpoints;
		(void)event_assign(&endpoint->timer, check->base, -1, 0, on_timer, endpoint);
	}
	shuffle(endpoints);
	return endpoints;
}

/* Ends what goes on, and what waits. Not from inside the check's own callback. */
static void
stop_check(struct endpoint *endpoint)
{
	(void)event_del(&endpoint->timer);
	drop_check(endpoint);
	if (endpoint->state == ENDPOINT_CHECKING)
		set_state(endpoint, ENDPOINT_DOWN);
}

void
endpoints_retire(struct endpoints *endpoints)
{
	endpoints->is_retired = true;
	for (size_t i = 0; i < endpoints->count; i++)
		stop_check(&endpoints->items[i]);
	(void)event_del(&endpoints->tidy);
}

void
endpoints_free(struct endpoints *endpoints)
{
	if (endpoints == NULL)
		return;
	endpoints_retire(endpoints);
	for (size_t i = 0; i < endpoints->count; i++)
		assert(endpoints->items[i].open == 0);
	free(endpoints);
}

size_t
endpoints_take(struct endpoints *endpoints, const bool *is_tried)
{
	size_t index = index_of(best_of(endpoints, is_tried));

	endpoints->items[index].turn = endpoints->turns++;
	endpoints_join(endpoints, index);
	return index;
}

void
endpoints_join(struct endpoints *endpoints, size_t index)
{
	endpoints->items[index].open++;
}

void
endpoints_leave(struct endpoints *endpoints, size_t index)
{
	assert(endpoints->items[index].open > 0);
	endpoints->items[index].open--;
}

void
endpoints_note_failure(struct endpoints *endpoints, size_t index, const struct err *err)
{
	struct endpoint *endpoint = &endpoints->items[index];
	uint64_t now_us = clock_now_us();

	endpoint->err = *err;
	if (endpoint->state != ENDPOINT_UP)
		return;
	if (now_us - endpoint->since_us > steady_us)
		backoff_reset(&endpoint->backoff);
	set_state(endpoint, ENDPOINT_DOWN);
	uint64_t pause_us = backoff_fail(&endpoint->backoff, now_us, false);
	log_down(endpoint, pause_us);
	wait_for_check(endpoint, pause_us);
}

void
endpoints_note_success(struct endpoints *endpoints, size_t index)
{
	struct endpoint *endpoint = &endpoints->items[index];

	if (endpoint->state == ENDPOINT_UP)
		return;
	/* A check under way is freed later: we may be called while the session below both is telling
	 * its channels what has arrived. */
	event_active(&endpoints->tidy, EV_TIMEOUT, 0);
	come_back(endpoint, "a tunnel came through");
}

bool
endpoints_is_wanted(const struct endpoints *endpoints, size_t index)
{
	if (service_of(endpoints)->options.failover == FAILOVER_PRIO)
		return index == index_of(best_of(endpoints, NULL));
	return endpoints->items[index].state == ENDPOINT_UP;
}

void
endpoints_check_now(struct endpoints *endpoints)
{
	if (!is_checked(endpoints))
		return;
	for (size_t i = 0; i < endpoints->count; i++) {
		struct endpoint *endpoint = &endpoints->items[i];
		endpoint->backoff = (struct backoff){0};
		stop_check(endpoint); /* one that began before may hang */
		if (endpoint->state == ENDPOINT_DOWN)
			wait_for_check(endpoint, 0);
	}
}

size_t
endpoints_count(const struct endpoints *endpoints)
{
	return endpoints->count;
}

void
endpoints_view(const struct endpoints *endpoints, size_t index, struct endpoint_view *ret_view)
{
	const struct endpoint *endpoint = &endpoints->items[index];
	bool is_up = endpoint->state == ENDPOINT_UP;

	*ret_view = (struct endpoint_view){
		.address = &service_of(endpoints)->options.connect.items[index],
		.is_up = is_up,
		.since_us = endpoint->since_us,
		.since_ms = endpoint->since_ms,
		.open = endpoint->open,
		.reason = is_up ? NULL : endpoint->err.text,
	};
}
