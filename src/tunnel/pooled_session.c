#include "tunnel/pooled_session.h"

#include "base/clock.h"
#include "config/address.h"
#include "config/bastion.h"
#include "ssh/credentials.h"
#include "ssh/session.h"
#include "stream/stream.h"
#include "tunnel/bastion_dialer.h"
#include "tunnel/step.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
	ENDPOINT_SIZE = 160,
	REACHED_S = 30, /* an endpoint that was reached so lately is taken to answer */
	SLOW_S = 1,     /* an open that takes longer is no longer waited for by others */
};

enum pooled_state {
	POOLED_DIALLING, /* a way to the bastion is being made */
	POOLED_LOGGING_IN,
	POOLED_READY,
	POOLED_DEAD,
};

struct pooled_session {
	struct list link;
	struct pooled_session_request request;
	enum pooled_state state;     /* written by set_state() only */
	struct bastion_dial *dial;   /* owned; while dialling, and while its command must live */
	struct ssh_session *session; /* owned */
	uint64_t began_us;
	uint64_t step_began_us;
	bool is_host_accepted;
	struct err failure; /* why it did not come about, and whether that was the server's wish */
	bool is_refused;
	bool was_idle;
	bool has_served; /* it has opened a channel */

	/* The one open that may be under way; the session may also be occupied by a probe. */
	bool is_opening;
	const struct address *endpoint;        /* borrowed */
	pooled_session_channel_cb *on_channel; /* NULL: none, or nobody waits any more */
	void *arg;
	char endpoint_name[ENDPOINT_SIZE]; /* of the last open, longer than the endpoint lives */
	uint64_t reached_us;               /* when one to it came through; 0: none has */
	uint64_t open_took_us; /* the last one that was answered, to whichever; 0: none was */
	struct event timer;    /* first until the open is slow, then until it is given up */
	bool is_slow;
};

static const struct bastion_options *
options_of(const struct pooled_session *pooled)
{
	return &pooled->request.bastion->options;
}

static void
set_state(struct pooled_session *pooled, enum pooled_state state)
{
	static const char *const names[] = {
		[POOLED_DIALLING] = "dialling",
		[POOLED_LOGGING_IN] = "logging in",
		[POOLED_READY] = "ready",
		[POOLED_DEAD] = "dead",
	};

	assert(state == pooled->state + 1 ||
	       (state == POOLED_DEAD && pooled->state != POOLED_DEAD));
	log_write(pooled->request.log, LOG_LEVEL_DEBUG, "bastion '%s': pool's session %s -> %s",
		  pooled->request.bastion->name, names[pooled->state], names[state]);
	pooled->state = state;
}

static void
change(struct pooled_session *pooled)
{
	pooled->request.events->on_change(pooled->request.arg);
}

/* Tells whoever waits for a channel. */
static void
answer(struct pooled_session *pooled, struct stream *channel, const struct err *err)
{
	pooled_session_channel_cb *on_channel = pooled->on_channel;

	pooled->on_channel = NULL;
	(void)event_del(&pooled->timer);
	if (on_channel != NULL)
		on_channel(pooled->arg, channel, err);
	else
		stream_free(channel);
}

void
pooled_session_kill(struct pooled_session *pooled)
{
	if (pooled->state == POOLED_DEAD)
		return;
	set_state(pooled, POOLED_DEAD);
	answer(pooled, NULL, NULL);
	change(pooled);
}

/* On its way to a session */

static void
fail(struct pooled_session *pooled)
{
	set_state(pooled, POOLED_DEAD);
	pooled->request.events->on_failed(pooled->request.arg, &pooled->failure,
					  pooled->is_refused);
	change(pooled);
}

/* Tells that the greeting or the login has ended, and begins the next step. */
static void
tell(struct pooled_session *pooled, const char *detail, const struct err *err)
{
	const struct step step = {
		.kind = pooled->is_host_accepted ? STEP_LOGIN : STEP_HOST_KEY,
		.bastion = pooled->request.bastion,
		.err = err,
		.took_us = clock_now_us() - pooled->step_began_us,
		.detail = detail,
	};

	step_tell(pooled->request.observer, &step);
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
	fail(pooled);
}

static void
on_ready(void *arg, const struct err *err, bool is_refused)
{
	struct pooled_session *pooled = arg;

	if (err != NULL && ssh_session_asks_again(pooled->session)) {
		/* No failure yet: the pool makes another one, which asks for another key. */
		log_write(pooled->request.log, LOG_LEVEL_INFO,
			  "bastion '%s': %s; it has keys of other types, which are asked for",
			  pooled->request.bastion->name, err->text);
		pooled_session_kill(pooled);
		return;
	}
	if (err != NULL) {
		pooled->failure = *err;
		pooled->is_refused = is_refused;
		bastion_dial_explain(pooled->dial, &pooled->failure, on_explained, pooled);
		return;
	}
	tell(pooled, ssh_session_describe_login(pooled->session), NULL);
	set_state(pooled, POOLED_READY);
	pooled->request.events->on_ready(pooled->request.arg, clock_now_us() - pooled->began_us,
					 ssh_session_needs_person(pooled->session));
	change(pooled);
}

static void
on_lost(void *arg, const struct err *err)
{
	struct pooled_session *pooled = arg;

	if (pooled->state == POOLED_DEAD) /* it was given up in this very turn */
		return;
	pooled->request.events->on_lost(pooled->request.arg, err,
					pooled->on_channel != NULL && !pooled->has_served);
	pooled_session_kill(pooled);
}

static void
on_free(void *arg)
{
	change(arg);
}

static void
on_dialled(void *arg, struct stream *way, const struct err *err)
{
	struct pooled_session *pooled = arg;
	const struct ssh_session_request request = {
		.base = pooled->request.base,
		.bastion = pooled->request.bastion,
		.credentials = pooled->request.credentials,
		.memory = pooled->request.memory,
		.log = pooled->request.log,
		.on_free = on_free,
		.on_host_accepted = on_host_accepted,
	};

	if (way == NULL) {
		pooled->failure = *err;
		fail(pooled);
		return;
	}
	set_state(pooled, POOLED_LOGGING_IN);
	pooled->step_began_us = clock_now_us();
	pooled->session = ssh_session_start(&request, way, on_ready, on_lost, pooled,
					    &pooled->failure);
	if (pooled->session == NULL)
		fail(pooled);
}

/* Opening channels */

static void
on_channel(void *arg, struct stream *channel, const struct err *err)
{
	struct pooled_session *pooled = arg;

	if (!pooled->is_slow) /* an exception, which says nothing of the next one */
		pooled->open_took_us = ssh_session_opening_us(pooled->session) + 1;
	pooled->is_slow = false;
	pooled->is_opening = false;
	if (channel != NULL) {
		pooled->reached_us = clock_now_us();
		pooled->has_served = true;
	}
	answer(pooled, channel, err);
	change(pooled);
}

/* The endpoint does not answer the bastion. libssh2 cannot give up an open, so this session
 * stays occupied for a while; others do not wait for it. */
static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct pooled_session *pooled = arg;
	int patience_s = options_of(pooled)->timeout_open_s;
	struct err err;

	if (pooled->on_channel == NULL) { /* nobody waits any more, and so nobody is to be told */
		pooled->is_slow = true;
		change(pooled);
		return;
	}
	if (!pooled->is_slow && patience_s > SLOW_S) {
		struct timeval rest = {.tv_sec = patience_s - SLOW_S};
		pooled->is_slow = true;
		(void)event_add(&pooled->timer, &rest);
		change(pooled);
		return;
	}
	pooled->is_slow = true; /* until the server answers after all */
	(void)err_set(&err,
		      "bastion '%s' got no answer from %s within %d s (TIMEOUTopen): a security "
		      "group or a firewall may drop it silently",
		      pooled->request.bastion->name, pooled->endpoint_name, patience_s);
	(void)err_mark(&err, ERR_TIMEOUT);
	answer(pooled, NULL, &err);
	change(pooled);
}

/* Whether the last open is, or was, to this endpoint. */
static bool
is_to(const struct pooled_session *pooled, const struct address *endpoint)
{
	char name[ENDPOINT_SIZE];

	return strcmp(pooled->endpoint_name, address_format(endpoint, name, sizeof name)) == 0;
}

void
pooled_session_open(struct pooled_session *pooled, const struct address *endpoint,
		    pooled_session_channel_cb *on_answer, void *arg)
{
	int patience_s = options_of(pooled)->timeout_open_s;
	struct timeval timeout = {.tv_sec = patience_s > SLOW_S ? SLOW_S : patience_s};

	assert(pooled_session_is_free(pooled));
	pooled->endpoint = endpoint;
	if (!is_to(pooled, endpoint))
		pooled->reached_us = 0;
	(void)address_format(endpoint, pooled->endpoint_name, sizeof pooled->endpoint_name);
	pooled->is_opening = true;
	pooled->on_channel = on_answer;
	pooled->arg = arg;
	(void)event_add(&pooled->timer, &timeout);
	ssh_session_open(pooled->session, endpoint, on_channel, pooled);
}

void
pooled_session_forget(struct pooled_session *pooled)
{
	pooled->on_channel = NULL;
	pooled->endpoint = NULL;
	/* Otherwise the timer finds out whether the open is slow. */
	if (pooled->is_slow)
		event_active(&pooled->timer, EV_TIMEOUT, 0);
}

/* What it is good for */

bool
pooled_session_is_ready(const struct pooled_session *pooled)
{
	return pooled->state == POOLED_READY;
}

bool
pooled_session_is_dead(const struct pooled_session *pooled)
{
	return pooled->state == POOLED_DEAD;
}

bool
pooled_session_is_free(const struct pooled_session *pooled)
{
	return pooled->state == POOLED_READY && pooled->on_channel == NULL &&
	       !ssh_session_is_opening(pooled->session);
}

bool
pooled_session_is_useful(const struct pooled_session *pooled)
{
	return pooled->state != POOLED_DEAD && !pooled->is_slow;
}

bool
pooled_session_is_stuck_at(const struct pooled_session *pooled, const struct address *endpoint)
{
	return pooled->is_slow && pooled->on_channel != NULL && pooled->endpoint == endpoint;
}

/* Whether its open was given up, and libssh2 still waits for the answer. */
static bool
is_held_up(const struct pooled_session *pooled)
{
	return pooled->state == POOLED_READY && pooled->is_slow && pooled->on_channel == NULL;
}

bool
pooled_session_is_opening(const struct pooled_session *pooled, const struct address *endpoint)
{
	return pooled->state == POOLED_READY && pooled->is_opening && !is_held_up(pooled) &&
	       is_to(pooled, endpoint);
}

bool
pooled_session_has_reached(const struct pooled_session *pooled, const struct address *endpoint)
{
	return pooled->reached_us != 0 &&
	       clock_now_us() - pooled->reached_us < REACHED_S * UINT64_C(1000000) &&
	       is_to(pooled, endpoint);
}

/* Whether the open under way will be over soon, as far as one can tell. It may hang, which shows
 * when it takes longer than the one before. */
static bool
is_about_to_answer(const struct pooled_session *pooled, uint64_t patience_us)
{
	return pooled->state == POOLED_READY && !pooled->is_slow &&
	       ssh_session_is_opening(pooled->session) &&
	       ssh_session_opening_us(pooled->session) <= pooled->open_took_us + patience_us;
}

unsigned
pooled_session_serves_within(const struct pooled_session *pooled, uint64_t span_us)
{
	uint64_t count;

	if (!is_about_to_answer(pooled, span_us / 4))
		return 0;
	if (pooled->open_took_us == 0)
		return UINT_MAX;
	count = span_us / pooled->open_took_us;
	return count < UINT_MAX ? (unsigned)count : UINT_MAX;
}

bool
pooled_session_is_held_up_by(const struct pooled_session *pooled, const struct address *endpoint)
{
	return is_held_up(pooled) && is_to(pooled, endpoint);
}

bool
pooled_session_is_worthless(const struct pooled_session *pooled)
{
	return is_held_up(pooled) && ssh_session_channel_count(pooled->session) == 0;
}

unsigned
pooled_session_channel_count(const struct pooled_session *pooled)
{
	return pooled->session != NULL ? ssh_session_channel_count(pooled->session) : 0;
}

void
pooled_session_set_idle(struct pooled_session *pooled, bool is_idle)
{
	pooled->was_idle = is_idle;
}

bool
pooled_session_was_idle(const struct pooled_session *pooled)
{
	return pooled->was_idle;
}

/* Life */

struct list *
pooled_session_link(struct pooled_session *pooled)
{
	return &pooled->link;
}

struct pooled_session *
pooled_session_of(struct list *link)
{
	return LIST_ITEM(link, struct pooled_session, link);
}

struct pooled_session *
pooled_session_start(const struct pooled_session_request *request)
{
	struct pooled_session *pooled = calloc(1, sizeof *pooled);
	const struct bastion_dial_request way = {
		.base = request->base,
		.resolver = request->resolver,
		.bastion = request->bastion,
		.user = ssh_credentials_user(request->credentials),
		.via = request->via,
		.observer = request->observer,
		.log = request->log,
	};

	if (pooled == NULL)
		return NULL;
	pooled->request = *request;
	pooled->began_us = clock_now_us();
	list_init(&pooled->link);
	(void)event_assign(&pooled->timer, request->base, -1, 0, on_timer, pooled);
	pooled->dial = bastion_dial_start(&way, on_dialled, pooled);
	if (pooled->dial != NULL)
		return pooled;
	free(pooled);
	return NULL;
}

void
pooled_session_free(struct pooled_session *pooled)
{
	if (pooled == NULL)
		return;
	list_remove(&pooled->link);
	(void)event_del(&pooled->timer);
	ssh_session_close(pooled->session);
	bastion_dial_free(pooled->dial);
	free(pooled);
}

void
pooled_session_probe(struct pooled_session *pooled)
{
	if (pooled_session_is_ready(pooled))
		ssh_session_probe(pooled->session);
}
