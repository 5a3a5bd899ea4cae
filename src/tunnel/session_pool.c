#include "tunnel/session_pool.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "config/bastion.h"
#include "ssh/login_memory.h"
#include "tunnel/backoff.h"
#include "tunnel/channel_request.h"
#include "tunnel/pooled_session.h"
#include "tunnel/session_set.h"
#include "tunnel/setup.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* A client waits out a pause of up to this; else it is told at once. */
	PATIENCE_MS = 2000,
	/* A session that lived for so long was no failure. */
	GOOD_LIFE_US = 60 * 1000 * 1000,
	/* What a login is taken to cost: it is also a process of the bastion, and a line in its log;
	 * and one that took long may have been an exception. */
	LOGIN_MIN_US = 100 * 1000,
	LOGIN_MAX_US = 1000 * 1000,
};

struct session_pool {
	unsigned references;
	struct session_pool_request request; /* holds `setup` and `via` by one reference each */
	struct log_scope log;
	struct list sessions;
	struct list waiting;
	struct ssh_login_memory memory;
	bool needs_person; /* for a login */
	bool is_eager;     /* one session is there even while nobody waits */
	struct backoff backoff;
	struct backoff revival;  /* of an eager session that was lost; clients do not wait for it */
	uint64_t ready_since_us; /* when a login succeeded last */
	uint64_t login_us;       /* what it costs, by the last one */
	struct err last_err;
	struct event turn; /* gives requests to sessions, and cleans up */
	struct event surplus;
};

static const struct bastion_options *
options_of(const struct session_pool *pool)
{
	return &pool->request.bastion->options;
}

static const char *
name_of(const struct session_pool *pool)
{
	return pool->request.bastion->name;
}

/* In on_turn() itself only behind the last event_add(), which takes an earlier wish back. */
static void
take_turn_later(struct session_pool *pool)
{
	event_active(&pool->turn, EV_TIMEOUT, 0);
}

/* No session came about. Who waits is told, unless another session is there or coming. */
static void
on_failed(void *arg, const struct err *err, bool is_refused)
{
	struct session_pool *pool = arg;
	uint64_t pause = backoff_fail(&pool->backoff, clock_now_us(), is_refused);

	pool->last_err = *err;
	(void)err_wrap(&pool->last_err, "bastion '%s'", name_of(pool));
	log_write_repeatable(&pool->log, LOG_LEVEL_ERROR, NULL, pool->last_err.text,
			     "%s (next attempt in %.1f s at the earliest)", pool->last_err.text,
			     (double)pause / 1e6);
	if (!session_set_is_useful(&pool->sessions))
		channel_request_fail_all(&pool->waiting, NULL, &pool->last_err);
}

/* That a login succeeded is not enough to forget failures: some servers let a user in and end the
 * session at once. */
static void
on_ready(void *arg, uint64_t took_us, bool needs_person)
{
	struct session_pool *pool = arg;

	pool->ready_since_us = clock_now_us();
	pool->login_us = took_us < LOGIN_MIN_US   ? LOGIN_MIN_US
			 : took_us > LOGIN_MAX_US ? LOGIN_MAX_US
						  : took_us;
	pool->needs_person = needs_person;
	log_write(&pool->log, LOG_LEVEL_NOTICE, "bastion '%s': logged in to %s:%d", name_of(pool),
		  options_of(pool)->host, options_of(pool)->port);
}

/* A session that was good for nothing: the next one has to wait, also for those who ask for it. */
static void
on_useless(struct session_pool *pool, uint64_t now_us, const struct err *err)
{
	(void)backoff_fail(&pool->backoff, now_us, false);
	(void)err_set(&pool->last_err,
		      "bastion '%s' let us in, and ended the session at once: %s; is the user's "
		      "account there in order (ChrootDirectory, shell, limits)?",
		      name_of(pool), err->text);
	(void)err_mark(&pool->last_err, ERR_DISCONNECTED);
}

static void
on_lost(void *arg, const struct err *err, bool is_useless)
{
	struct session_pool *pool = arg;
	uint64_t now_us = clock_now_us();
	char next[48] = "";

	if (now_us - pool->ready_since_us >= GOOD_LIFE_US) {
		backoff_reset(&pool->revival);
		backoff_reset(&pool->backoff);
	} else if (is_useless) {
		on_useless(pool, now_us, err);
	}
	if (pool->is_eager)
		(void)snprintf(next, sizeof next, " (next login in %.1f s at the latest)",
			       (double)backoff_fail(&pool->revival, now_us, false) / 1e6);
	log_write_repeatable(&pool->log, LOG_LEVEL_WARNING, NULL, err->text,
			     "bastion '%s': the session is lost: %s%s", name_of(pool), err->text,
			     next);
}

static void
on_change(void *arg)
{
	take_turn_later(arg);
}

static const struct pooled_session_events session_events = {
	.on_ready = on_ready,
	.on_failed = on_failed,
	.on_lost = on_lost,
	.on_change = on_change,
};

static void
start_session(struct session_pool *pool)
{
	const struct pooled_session_request request = {
		.base = pool->request.base,
		.resolver = pool->request.resolver,
		.bastion = pool->request.bastion,
		.credentials = setup_get_credentials(pool->request.setup,
						     pool->request.bastion->index),
		.memory = &pool->memory,
		.via = pool->request.via,
		.observer = pool->request.observer,
		.log = &pool->log,
		.events = &session_events,
		.arg = pool,
	};
	struct pooled_session *pooled = pooled_session_start(&request);
	struct err err;

	if (pooled != NULL) {
		list_append(&pool->sessions, pooled_session_link(pooled));
	} else {
		(void)err_set(&err, "out of memory");
		on_failed(pool, &err, false);
		take_turn_later(pool);
	}
}

static void
on_channel(void *arg, struct stream *channel, const struct err *err)
{
	struct channel_request *request = arg;
	struct session_pool *pool = request->pool;

	if (channel == NULL && err == NULL) {
		channel_request_return(request, &pool->waiting);
		return;
	}
	if (channel != NULL)
		backoff_reset(&pool->backoff);
	/* An endpoint that did not answer one will not answer the others. */
	if (channel == NULL && !pooled_session_is_useful(request->session))
		channel_request_fail_all(&pool->waiting, request->endpoint, err);
	channel_request_end(request, channel, err);
}

static void
give_to(struct pooled_session *pooled, struct channel_request *request)
{
	list_remove(&request->link);
	request->session = pooled;
	pooled_session_open(pooled, request->endpoint, on_channel, request);
}

/* How many there may be: nobody wants to confirm the same login four times in a row. */
static unsigned
session_limit(const struct session_pool *pool)
{
	const struct bastion *bastion = pool->request.bastion;

	return pool->needs_person && !bastion_option_is_set(bastion, "sessions")
		       ? 1
		       : (unsigned)bastion->options.sessions;
}

/* Whether only one session is left for whatever comes. */
static bool
is_last_one_left(const struct session_pool *pool)
{
	return session_set_spare(&pool->sessions, session_limit(pool)) <= 1;
}

/* The last session is not for an endpoint that may not answer. */
static bool
must_wait(const struct session_pool *pool, const struct address *endpoint)
{
	return session_set_is_slow_at(&pool->sessions, endpoint) ||
	       (is_last_one_left(pool) && session_set_is_unproven_at(&pool->sessions, endpoint));
}

/* The first request that may be given to a session now; NULL: none. */
static struct channel_request *
next_request(const struct session_pool *pool)
{
	const struct address *waits = NULL; /* many in a row are for the same */

	for (struct list *link = pool->waiting.next; link != &pool->waiting; link = link->next) {
		struct channel_request *request = LIST_ITEM(link, struct channel_request, link);
		if (request->endpoint == waits)
			continue;
		if (!must_wait(pool, request->endpoint))
			return request;
		waits = request->endpoint;
	}
	return NULL;
}

static void
serve_waiting(struct session_pool *pool)
{
	struct channel_request *request;
	struct pooled_session *pooled;

	while ((request = next_request(pool)) != NULL) {
		if (session_set_is_held_up_by(&pool->sessions, request->endpoint) &&
		    is_last_one_left(pool)) {
			channel_request_refuse(request);
			continue;
		}
		pooled = session_set_best(&pool->sessions);
		if (pooled == NULL)
			return;
		give_to(pooled, request);
	}
}

static void
free_dead(struct session_pool *pool)
{
	struct list *next;

	for (struct list *link = pool->sessions.next; link != &pool->sessions; link = next) {
		struct pooled_session *pooled = pooled_session_of(link);
		next = link->next;
		if (pooled_session_is_worthless(pooled))
			pooled_session_kill(pooled);
		if (pooled_session_is_dead(pooled))
			pooled_session_free(pooled);
	}
}

/* The requests in line whose endpoints are not known to be slow. */
struct queue {
	unsigned count;
	uint64_t oldest_us; /* how long the first has waited, while there was a session */
};

static struct queue
look_at_queue(const struct session_pool *pool)
{
	struct queue queue = {0};
	uint64_t now_us = clock_now_us();

	for (struct list *link = pool->waiting.next; link != &pool->waiting; link = link->next) {
		struct channel_request *request = LIST_ITEM(link, struct channel_request, link);
		uint64_t since_us = request->since_us > pool->ready_since_us ? request->since_us
									     : pool->ready_since_us;
		if (session_set_is_slow_at(&pool->sessions, request->endpoint))
			continue;
		queue.count++;
		if (now_us - since_us > queue.oldest_us)
			queue.oldest_us = now_us - since_us;
	}
	return queue;
}

/* How many of them wait for so long that a login pays: for twice as long as it takes, by the pace
 * of the sessions that are there, or in fact. */
static unsigned
count_waiting_long(const struct session_pool *pool, struct queue queue)
{
	unsigned served = session_set_serves_within(&pool->sessions, pool->login_us);

	if (queue.oldest_us >= 2 * pool->login_us)
		return queue.count;
	return queue.count / 2 >= served ? queue.count - served : 0;
}

/* While the bastion is left alone, clients wait or are told, by how long it will be. */
static void
sit_out_pause(struct session_pool *pool, uint64_t left_us)
{
	const struct timeval left = clock_span(left_us);

	if (left_us > (uint64_t)PATIENCE_MS * 1000 && !session_set_is_useful(&pool->sessions))
		channel_request_fail_all(&pool->waiting, NULL, &pool->last_err);
	(void)event_add(&pool->turn, &left);
}

/* For how long the bastion is left alone. */
static uint64_t
pause_left_us(const struct session_pool *pool, bool has_waiting)
{
	uint64_t now_us = clock_now_us();
	uint64_t left_us = backoff_left_us(&pool->backoff, now_us);
	uint64_t revival_us = has_waiting ? 0 : backoff_left_us(&pool->revival, now_us);

	return left_us > revival_us ? left_us : revival_us;
}

/* How many sessions should be coming. */
static unsigned
count_wanted(const struct session_pool *pool, struct queue queue, unsigned coming, unsigned count)
{
	unsigned ready = count - coming;

	if (ready > 0)
		return count_waiting_long(pool, queue);
	/* The first alone: it shows whether the bastion lets us in at all, and what that takes. */
	return queue.count > 0 || (pool->is_eager && count == 0);
}

static void
grow(struct session_pool *pool, unsigned coming, unsigned count)
{
	const struct timeval next_look = clock_span(pool->login_us / 4 + 1000);
	struct queue queue = look_at_queue(pool);
	unsigned limit = session_limit(pool);
	unsigned wanted = count_wanted(pool, queue, coming, count);
	uint64_t pause_us = pause_left_us(pool, queue.count > 0);

	if (count >= limit)
		return;
	if (wanted <= coming) {
		/* An open that was thought to be short may hang. */
		if (queue.count > 0 && coming == 0)
			(void)event_add(&pool->turn, &next_look);
		return;
	}
	if (pause_us > 0) {
		sit_out_pause(pool, pause_us);
		return;
	}
	for (; coming < wanted && count < limit; coming++, count++)
		start_session(pool);
}

static void
on_turn(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct session_pool *pool = arg;
	unsigned coming;
	unsigned count;

	free_dead(pool);
	serve_waiting(pool);
	session_set_count(&pool->sessions, &coming, &count);
	grow(pool, coming, count);
}

/* A session that nobody used between two looks, half of TIMEOUTsurplus apart, goes, unless it is
 * the last. */
static void
on_surplus(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct session_pool *pool = arg;
	unsigned left = 0;
	struct list *link;

	for (link = pool->sessions.next; link != &pool->sessions; link = link->next)
		left += !pooled_session_is_dead(pooled_session_of(link));
	for (link = pool->sessions.next; link != &pool->sessions; link = link->next) {
		struct pooled_session *pooled = pooled_session_of(link);
		bool is_idle = pooled_session_is_free(pooled) &&
			       pooled_session_channel_count(pooled) == 0;
		if (is_idle && pooled_session_was_idle(pooled) && left > 1) {
			log_write(&pool->log, LOG_LEVEL_INFO,
				  "bastion '%s': a session that nobody needs any more is closed",
				  pool->request.bastion->name);
			pooled_session_kill(pooled);
			left--;
		}
		pooled_session_set_idle(pooled, is_idle);
	}
}

struct session_pool *
session_pool_new(const struct session_pool_request *request)
{
	struct session_pool *pool = calloc(1, sizeof *pool);
	const int surplus_s = request->bastion->options.timeout_surplus_s;
	const struct timeval look = {.tv_sec = surplus_s / 2,
				     .tv_usec = surplus_s % 2 * (suseconds_t)500000};

	if (pool == NULL)
		return NULL;
	pool->references = 1;
	pool->request = *request;
	(void)setup_ref(request->setup);
	if (request->via != NULL)
		(void)session_pool_ref(request->via);
	(void)snprintf(pool->log.id, sizeof pool->log.id, "%s", log_main.id);
	log_set_level(&pool->log, request->bastion->options.debug.is_set
					  ? (enum log_level)request->bastion->options.debug.level
					  : log_level_of(&log_main));
	list_init(&pool->sessions);
	list_init(&pool->waiting);
	(void)event_assign(&pool->turn, request->base, -1, 0, on_turn, pool);
	(void)event_assign(&pool->surplus, request->base, -1, EV_PERSIST, on_surplus, pool);
	(void)event_add(&pool->surplus, &look);
	return pool;
}

struct session_pool *
session_pool_ref(struct session_pool *pool)
{
	pool->references++;
	return pool;
}

void
session_pool_unref(struct session_pool *pool)
{
	if (pool == NULL || --pool->references > 0)
		return;
	(void)event_del(&pool->turn);
	(void)event_del(&pool->surplus);
	while (!list_is_empty(&pool->sessions))
		pooled_session_free(pooled_session_of(pool->sessions.next));
	/* Last, because our sessions run over channels of it. */
	session_pool_unref(pool->request.via);
	setup_unref(pool->request.setup);
	free(pool);
}

struct channel_request *
session_pool_open(struct session_pool *pool, const struct address *endpoint,
		  session_pool_channel_cb *on_open, void *arg)
{
	struct channel_request *request = channel_request_new(&pool->waiting, pool, &pool->request,
							      endpoint, on_open, arg);

	if (request != NULL)
		take_turn_later(pool);
	return request;
}

void
session_pool_cancel(struct channel_request *request)
{
	if (request == NULL)
		return;
	if (request->session != NULL)
		pooled_session_forget(request->session);
	channel_request_free(request);
}

void
session_pool_warm_up(struct session_pool *pool)
{
	pool->is_eager = true;
	take_turn_later(pool);
}

void
session_pool_retry(struct session_pool *pool)
{
	pool->backoff = (struct backoff){0};
	pool->revival = (struct backoff){0};
	take_turn_later(pool);
}

void
session_pool_wake(struct session_pool *pool)
{
	for (struct list *link = pool->sessions.next; link != &pool->sessions; link = link->next)
		pooled_session_probe(pooled_session_of(link));
	session_pool_retry(pool);
}
