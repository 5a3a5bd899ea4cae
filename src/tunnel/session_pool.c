#include "tunnel/session_pool.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "config/bastion.h"
#include "ssh/credentials.h"
#include "ssh/session.h"
#include "stream/stream.h"
#include "tunnel/bastion_dialer.h"
#include "tunnel/setup.h"
#include "tunnel/step.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* How long a failed bastion is left alone: doubled each time, up to the most, and spread
	 * by up to a half, so that many daemons do not come back together. A refused login will
	 * be refused again, and sshd 9.8 and later shut out who insists. */
	FIRST_PAUSE_MS = 500,
	LONGEST_PAUSE_MS = 30000,
	FIRST_REFUSED_PAUSE_MS = 5000,
	LONGEST_REFUSED_PAUSE_MS = 300000,
	/* A client waits out a pause of up to this; else it is told at once. */
	PATIENCE_MS = 2000,
	SURPLUS_CHECK_S = 30,
	SLOW_S = 1, /* an open that takes longer is no longer waited for by others */
};

enum pooled_state {
	POOLED_DIALLING, /* a way to the bastion is being made */
	POOLED_LOGGING_IN,
	POOLED_READY,
	POOLED_DEAD, /* freed in the pool's next turn */
};

struct pooled_session {
	struct list link; /* in pool->sessions */
	struct session_pool *pool;
	enum pooled_state state;
	struct bastion_dial *dial;   /* owned; while dialling, and while its command must live */
	struct ssh_session *session; /* owned */
	struct channel_request *opening; /* borrowed; NULL: none, or nobody waits any more */
	struct event open_timer; /* first until the open is slow, then until it is given up */
	bool is_slow;  /* the open takes its time: this session does not count for others */
	bool was_idle; /* at the last look for surplus sessions */
	uint64_t step_began_us;
	bool is_host_accepted;
	struct err failure; /* why it did not come about, and whether that was the server's wish */
	bool is_refused;
};

struct channel_request {
	struct list link; /* in pool->waiting, while no session has taken it */
	struct session_pool *pool;
	struct pooled_session *session; /* that has taken it; NULL: none yet */
	const struct address *endpoint; /* borrowed */
	session_pool_channel_cb *on_open;
	void *arg;
	struct event deadline; /* for the whole of it */
};

struct session_pool {
	unsigned references;
	struct session_pool_request request; /* holds `setup` and `via` by one reference each */
	const struct ssh_credentials *credentials; /* borrowed from the setup */
	struct log_scope log;
	struct list sessions;
	struct list waiting;
	bool is_wanted;         /* a session is, even while nobody waits */
	unsigned failures;      /* in a row */
	uint64_t not_before_us; /* no attempt before that */
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

static void
take_turn_later(struct session_pool *pool)
{
	event_active(&pool->turn, EV_TIMEOUT, 0);
}

static void
end_request(struct channel_request *request, struct stream *channel, const struct err *err)
{
	session_pool_channel_cb *on_open = request->on_open;
	void *arg = request->arg;

	list_remove(&request->link);
	(void)event_del(&request->deadline);
	free(request);
	on_open(arg, channel, err);
}

/* Tells those who wait for `endpoint`; NULL: all. */
static void
fail_waiting(struct session_pool *pool, const struct address *endpoint, const struct err *err)
{
	struct err copy = *err;
	struct list *next;

	for (struct list *link = pool->waiting.next; link != &pool->waiting; link = next) {
		struct channel_request *request = LIST_ITEM(link, struct channel_request, link);
		next = link->next;
		if (endpoint == NULL || request->endpoint == endpoint)
			end_request(request, NULL, &copy);
	}
}

/* How long to leave the bastion alone after so many failures in a row. */
static uint64_t
pause_us(unsigned failures, bool is_refused)
{
	uint64_t pause_ms = is_refused ? FIRST_REFUSED_PAUSE_MS : FIRST_PAUSE_MS;
	uint64_t longest_ms = is_refused ? LONGEST_REFUSED_PAUSE_MS : LONGEST_PAUSE_MS;
	unsigned char random = 0;

	for (unsigned i = 1; i < failures && pause_ms < longest_ms; i++)
		pause_ms *= 2;
	pause_ms = pause_ms < longest_ms ? pause_ms : longest_ms;
	(void)RAND_bytes(&random, sizeof random);
	return pause_ms * 1000 * (192 + random / 2) / 256;
}

static void
kill_session(struct pooled_session *pooled)
{
	pooled->state = POOLED_DEAD;
	(void)event_del(&pooled->open_timer);
	if (pooled->opening != NULL) {
		/* Its channel was not open yet, so another session may try. */
		pooled->opening->session = NULL;
		list_prepend(&pooled->pool->waiting, &pooled->opening->link);
		pooled->opening = NULL;
	}
	take_turn_later(pooled->pool);
}

/* Whether the session serves others, now or soon: alive, and not held up by a slow open. */
static bool
is_useful(const struct pooled_session *pooled)
{
	return pooled->state != POOLED_DEAD && !pooled->is_slow;
}

static bool
has_useful_session(const struct session_pool *pool)
{
	for (struct list *link = pool->sessions.next; link != &pool->sessions; link = link->next) {
		if (is_useful(LIST_ITEM(link, struct pooled_session, link)))
			return true;
	}
	return false;
}

/* No session came about. Who waits is told, unless another session is there or coming. */
static void
on_start_failed(struct pooled_session *pooled, const struct err *err, bool is_refused)
{
	struct session_pool *pool = pooled->pool;
	uint64_t now = clock_now_us();

	/* Sessions that were on their way together and fail together are one failure. */
	if (now >= pool->not_before_us)
		pool->failures++;
	uint64_t pause = pause_us(pool->failures, is_refused);
	pool->last_err = *err;
	(void)err_wrap(&pool->last_err, "bastion '%s'", name_of(pool));
	pool->not_before_us = now + pause;
	log_write(&pool->log, LOG_LEVEL_ERROR, "%s (next attempt in %.1f s at the earliest)",
		  pool->last_err.text, (double)pause / 1e6);
	kill_session(pooled);
	if (!has_useful_session(pool))
		fail_waiting(pool, NULL, &pool->last_err);
}

/* Tells that the greeting or the login has ended, and begins the next step. */
static void
tell(struct pooled_session *pooled, const char *detail, const struct err *err)
{
	const struct step step = {
		.kind = pooled->is_host_accepted ? STEP_LOGIN : STEP_HOST_KEY,
		.bastion = pooled->pool->request.bastion,
		.err = err,
		.took_us = clock_now_us() - pooled->step_began_us,
		.detail = detail,
	};

	step_tell(pooled->pool->request.observer, &step);
	pooled->step_began_us = clock_now_us();
}

static void
on_host_accepted(void *arg, const char *key)
{
	struct pooled_session *pooled = arg;

	tell(pooled, key, NULL);
	pooled->is_host_accepted = true;
}

static void
on_explained(void *arg)
{
	struct pooled_session *pooled = arg;

	tell(pooled, NULL, &pooled->failure);
	on_start_failed(pooled, &pooled->failure, pooled->is_refused);
}

static void
on_ready(void *arg, const struct err *err, bool is_refused)
{
	struct pooled_session *pooled = arg;
	struct session_pool *pool = pooled->pool;

	if (err != NULL) {
		pooled->failure = *err;
		pooled->is_refused = is_refused;
		bastion_dial_explain(pooled->dial, &pooled->failure, on_explained, pooled);
		return;
	}
	tell(pooled, ssh_session_describe_login(pooled->session), NULL);
	pooled->state = POOLED_READY;
	pool->failures = 0;
	pool->is_wanted = false;
	log_write(&pool->log, LOG_LEVEL_NOTICE, "bastion '%s': logged in to %s:%d", name_of(pool),
		  options_of(pool)->host, options_of(pool)->port);
	take_turn_later(pool);
}

static void
on_lost(void *arg, const struct err *err)
{
	struct pooled_session *pooled = arg;

	log_write(&pooled->pool->log, LOG_LEVEL_WARNING, "bastion '%s': the session is lost: %s",
		  name_of(pooled->pool), err->text);
	kill_session(pooled);
}

static void
on_free(void *arg)
{
	struct pooled_session *pooled = arg;

	take_turn_later(pooled->pool);
}

static void
on_dialled(void *arg, struct stream *way, const struct err *err)
{
	struct pooled_session *pooled = arg;
	struct session_pool *pool = pooled->pool;
	const struct ssh_session_request request = {
		.base = pool->request.base,
		.bastion = pool->request.bastion,
		.credentials = pool->credentials,
		.log = &pool->log,
		.on_free = on_free,
		.on_host_accepted = on_host_accepted,
	};
	struct err failure;

	if (way == NULL) {
		on_start_failed(pooled, err, false);
		return;
	}
	pooled->state = POOLED_LOGGING_IN;
	pooled->step_began_us = clock_now_us();
	pooled->session = ssh_session_start(&request, way, on_ready, on_lost, pooled, &failure);
	if (pooled->session == NULL)
		on_start_failed(pooled, &failure, false);
}

static void
on_channel(void *arg, struct stream *channel, const struct err *err)
{
	struct pooled_session *pooled = arg;
	struct channel_request *request = pooled->opening;

	pooled->opening = NULL;
	pooled->is_slow = false;
	(void)event_del(&pooled->open_timer);
	take_turn_later(pooled->pool);
	if (request != NULL)
		end_request(request, channel, err);
	else
		stream_free(channel); /* nobody waits for it any more */
}

/* The endpoint does not answer the bastion. libssh2 cannot give up an open, so this session
 * stays occupied for a while; others do not wait for it. */
static void
on_open_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct pooled_session *pooled = arg;
	struct channel_request *request = pooled->opening;
	int patience_s = options_of(pooled->pool)->timeout_open_s;
	char endpoint[160];
	struct err err;

	if (!pooled->is_slow && patience_s > SLOW_S) {
		struct timeval rest = {.tv_sec = patience_s - SLOW_S};
		pooled->is_slow = true;
		(void)event_add(&pooled->open_timer, &rest);
		take_turn_later(pooled->pool);
		return;
	}
	pooled->is_slow = true; /* until the server answers after all */

	pooled->opening = NULL;
	(void)err_set(&err,
		      "bastion '%s' got no answer from %s within %d s (TIMEOUTopen): a security "
		      "group or a firewall may drop it silently",
		      name_of(pooled->pool),
		      address_format(request->endpoint, endpoint, sizeof endpoint), patience_s);
	(void)err_mark(&err, ERR_TIMEOUT);
	take_turn_later(pooled->pool);
	fail_waiting(pooled->pool, request->endpoint, &err);
	end_request(request, NULL, &err);
}

static void
free_session(struct pooled_session *pooled)
{
	list_remove(&pooled->link);
	(void)event_del(&pooled->open_timer);
	ssh_session_close(pooled->session);
	bastion_dial_free(pooled->dial);
	free(pooled);
}

static void
start_session(struct session_pool *pool)
{
	struct pooled_session *pooled = calloc(1, sizeof *pooled);
	const struct bastion_dial_request request = {
		.base = pool->request.base,
		.resolver = pool->request.resolver,
		.bastion = pool->request.bastion,
		.user = ssh_credentials_user(pool->credentials),
		.via = pool->request.via,
		.observer = pool->request.observer,
		.log = &pool->log,
	};

	if (pooled == NULL)
		return;
	pooled->pool = pool;
	list_append(&pool->sessions, &pooled->link);
	(void)event_assign(&pooled->open_timer, pool->request.base, -1, 0, on_open_timer, pooled);
	pooled->dial = bastion_dial_start(&request, on_dialled, pooled);
	if (pooled->dial == NULL) {
		struct err err;
		(void)err_set(&err, "out of memory");
		on_start_failed(pooled, &err, false);
	}
}

static bool
is_free(const struct pooled_session *pooled)
{
	return pooled->state == POOLED_READY && pooled->opening == NULL &&
	       !ssh_session_is_opening(pooled->session);
}

static void
give_to(struct pooled_session *pooled, struct channel_request *request)
{
	int patience_s = options_of(pooled->pool)->timeout_open_s;
	struct timeval timeout = {.tv_sec = patience_s > SLOW_S ? SLOW_S : patience_s};

	list_remove(&request->link);
	request->session = pooled;
	pooled->opening = request;
	(void)event_add(&pooled->open_timer, &timeout);
	ssh_session_open(pooled->session, request->endpoint, on_channel, pooled);
}

/* An open was given up and occupies the session, and no channel needs it. */
static bool
is_worthless(const struct pooled_session *pooled)
{
	return pooled->state == POOLED_READY && pooled->is_slow && pooled->opening == NULL &&
	       ssh_session_channel_count(pooled->session) == 0;
}

/* Whether an endpoint keeps a session waiting already; then others for it wait in line, so that
 * one that never answers occupies few sessions. */
static bool
is_endpoint_slow(const struct session_pool *pool, const struct address *endpoint)
{
	for (struct list *link = pool->sessions.next; link != &pool->sessions; link = link->next) {
		struct pooled_session *pooled = LIST_ITEM(link, struct pooled_session, link);
		if (pooled->is_slow && pooled->opening != NULL &&
		    pooled->opening->endpoint == endpoint)
			return true;
	}
	return false;
}

/* The first request that may be given to a session now; NULL: none. */
static struct channel_request *
next_request(const struct session_pool *pool)
{
	for (struct list *link = pool->waiting.next; link != &pool->waiting; link = link->next) {
		struct channel_request *request = LIST_ITEM(link, struct channel_request, link);
		if (!is_endpoint_slow(pool, request->endpoint))
			return request;
	}
	return NULL;
}

/* Frees what is dead, and gives waiting requests to sessions that are free. Returns how many
 * sessions are on their way, and how many there are in all. */
static void
walk_sessions(struct session_pool *pool, unsigned *ret_coming, unsigned *ret_count)
{
	struct list *next;

	*ret_coming = 0;
	*ret_count = 0;
	for (struct list *link = pool->sessions.next; link != &pool->sessions; link = next) {
		struct pooled_session *pooled = LIST_ITEM(link, struct pooled_session, link);
		next = link->next;
		if (pooled->state == POOLED_DEAD) {
			free_session(pooled);
			continue;
		}
		if (is_worthless(pooled)) {
			kill_session(pooled);
			continue;
		}
		struct channel_request *request = is_free(pooled) ? next_request(pool) : NULL;
		if (request != NULL)
			give_to(pooled, request);
		*ret_count += is_useful(pooled);
		*ret_coming += pooled->state != POOLED_READY;
	}
}

/* How many requests a session more would serve. */
static unsigned
count_waiting(const struct session_pool *pool)
{
	unsigned count = 0;

	for (struct list *link = pool->waiting.next; link != &pool->waiting; link = link->next)
		count += !is_endpoint_slow(pool,
					   LIST_ITEM(link, struct channel_request, link)->endpoint);
	return count;
}

/* While the bastion is left alone, clients wait or are told, by how long it will be. */
static void
sit_out_pause(struct session_pool *pool, uint64_t left_us, unsigned count)
{
	struct timeval left = {
		.tv_sec = (time_t)(left_us / 1000000),
		.tv_usec = (suseconds_t)(left_us % 1000000),
	};

	if (left_us > (uint64_t)PATIENCE_MS * 1000 && count == 0)
		fail_waiting(pool, NULL, &pool->last_err);
	else
		(void)event_add(&pool->turn, &left);
}

/* More sessions only while requests queue: as many as would serve them at once. */
static void
grow(struct session_pool *pool, unsigned coming, unsigned count)
{
	unsigned waiting = count_waiting(pool);
	unsigned limit = (unsigned)options_of(pool)->sessions;
	unsigned wanted = waiting > 0 ? waiting : (pool->is_wanted && count == 0);
	uint64_t now = clock_now_us();

	if (wanted <= coming || count >= limit)
		return;
	if (now < pool->not_before_us) {
		sit_out_pause(pool, pool->not_before_us - now, count);
		return;
	}
	/* The first alone: it shows whether the bastion lets us in at all. */
	if (count == 0)
		wanted = 1;
	for (; coming < wanted && count < limit; coming++, count++)
		start_session(pool);
}

static void
on_turn(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct session_pool *pool = arg;
	unsigned coming;
	unsigned count;

	walk_sessions(pool, &coming, &count);
	grow(pool, coming, count);
}

/* A session that nobody used between two looks goes, unless it is the last. */
static void
on_surplus(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct session_pool *pool = arg;
	unsigned left = 0;
	struct list *link;

	for (link = pool->sessions.next; link != &pool->sessions; link = link->next)
		left++;
	for (link = pool->sessions.next; link != &pool->sessions; link = link->next) {
		struct pooled_session *pooled = LIST_ITEM(link, struct pooled_session, link);
		bool is_idle = is_free(pooled) && ssh_session_channel_count(pooled->session) == 0;
		if (is_idle && pooled->was_idle && left > 1) {
			kill_session(pooled);
			left--;
		}
		pooled->was_idle = is_idle;
	}
}

struct session_pool *
session_pool_new(const struct session_pool_request *request)
{
	struct session_pool *pool = calloc(1, sizeof *pool);
	const struct timeval interval = {.tv_sec = SURPLUS_CHECK_S};

	if (pool == NULL)
		return NULL;
	pool->references = 1;
	pool->request = *request;
	pool->credentials = setup_get_credentials(request->setup, request->bastion->index);
	(void)setup_ref(request->setup);
	if (request->via != NULL)
		(void)session_pool_ref(request->via);
	pool->log = log_main;
	if (request->bastion->options.debug.is_set)
		pool->log.level = (enum log_level)request->bastion->options.debug.level;
	list_init(&pool->sessions);
	list_init(&pool->waiting);
	(void)event_assign(&pool->turn, request->base, -1, 0, on_turn, pool);
	(void)event_assign(&pool->surplus, request->base, -1, EV_PERSIST, on_surplus, pool);
	(void)event_add(&pool->surplus, &interval);
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
		free_session(LIST_ITEM(pool->sessions.next, struct pooled_session, link));
	/* Last, because our sessions run over channels of it. */
	session_pool_unref(pool->request.via);
	setup_unref(pool->request.setup);
	free(pool);
}

/* The request waited in line for as long as a login and an open may take. */
static void
on_deadline(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct channel_request *request = arg;
	char endpoint[160];
	struct err err;

	if (request->session != NULL)
		return; /* the session's own timer decides */
	(void)err_set(&err,
		      "bastion '%s' had no session free for %s: others to the same endpoint wait "
		      "for its answer",
		      name_of(request->pool),
		      address_format(request->endpoint, endpoint, sizeof endpoint));
	(void)err_mark(&err, ERR_TIMEOUT);
	end_request(request, NULL, &err);
}

struct channel_request *
session_pool_open(struct session_pool *pool, const struct address *endpoint,
		  session_pool_channel_cb *on_open, void *arg)
{
	struct channel_request *request = calloc(1, sizeof *request);
	const struct bastion_options *options = options_of(pool);
	const struct timeval patience = {
		.tv_sec = options->timeout_connect_s + options->timeout_banner_s +
			  options->timeout_key_exchange_s + options->timeout_login_s +
			  options->timeout_open_s,
	};

	if (request == NULL)
		return NULL;
	request->pool = pool;
	request->endpoint = endpoint;
	request->on_open = on_open;
	request->arg = arg;
	list_append(&pool->waiting, &request->link);
	(void)event_assign(&request->deadline, pool->request.base, -1, 0, on_deadline, request);
	(void)event_add(&request->deadline, &patience);
	take_turn_later(pool);
	return request;
}

void
session_pool_cancel(struct channel_request *request)
{
	if (request == NULL)
		return;
	if (request->session != NULL) {
		(void)event_del(&request->session->open_timer);
		request->session->opening = NULL;
	}
	list_remove(&request->link);
	(void)event_del(&request->deadline);
	free(request);
}

void
session_pool_warm_up(struct session_pool *pool)
{
	pool->is_wanted = true;
	take_turn_later(pool);
}
