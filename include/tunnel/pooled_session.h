#ifndef CACHETUNNEL_TUNNEL_POOLED_SESSION_H
#define CACHETUNNEL_TUNNEL_POOLED_SESSION_H

#include "base/err.h"
#include "base/list.h"
#include "base/log.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * One session of a pool, from the way to the bastion to its loss: it dials, logs in, and opens one
 * channel at a time. Whom it opens the next one for, and whether another session is needed, is
 * its pool's business (session_pool.c, its only user).
 */

struct address;
struct bastion;
struct event_base;
struct pooled_session;
struct resolver;
struct session_pool;
struct ssh_credentials;
struct ssh_login_memory;
struct step_observer;
struct stream;

/* What a session tells its pool, each with the `arg` of the request. Never from inside one of the
 * functions below but pooled_session_kill(). After on_failed() and on_lost() it is dead, and good
 * for freeing only, but not from inside them. */
struct pooled_session_events {
	/* It took so long from the start; `needs_person`: somebody was asked for the login. */
	void (*on_ready)(void *arg, uint64_t took_us, bool needs_person);
	/* It did not come about; `is_refused`: by the server, or because of its key. */
	void (*on_failed)(void *arg, const struct err *err, bool is_refused);
	/* After it was ready; `is_useless`: somebody waited for its first channel. */
	void (*on_lost)(void *arg, const struct err *err, bool is_useless);
	/* What it may be used for has changed: the pool should look at its requests again. */
	void (*on_change)(void *arg);
};

struct pooled_session_request {
	struct event_base *base; /* borrowed, as all here, while the session lives */
	struct resolver *resolver;
	const struct bastion *bastion;
	const struct ssh_credentials *credentials;
	struct ssh_login_memory *memory;
	struct session_pool *via;             /* NULL: none */
	const struct step_observer *observer; /* NULL: nobody */
	const struct log_scope *log;
	const struct pooled_session_events *events;
	void *arg;
};

/* How an open ended: `channel` (owned by the callee), or why not. Both NULL: the session ended
 * before the answer, and another one may try. */
typedef void pooled_session_channel_cb(void *arg, struct stream *channel, const struct err *err);

/* A free link that lets its pool keep the session in a list. */
struct list *pooled_session_link(struct pooled_session *pooled);
struct pooled_session *pooled_session_of(struct list *link);

/* Begins to make one. Returns owned; NULL: no memory. */
struct pooled_session *pooled_session_start(const struct pooled_session_request *request);

/* Its channels fail from now on. Takes it out of its list. NULL is fine. */
void pooled_session_free(struct pooled_session *pooled);

/* Gives it up: it is dead, and whoever waits for a channel of it is told so at once. */
void pooled_session_kill(struct pooled_session *pooled);

bool pooled_session_is_ready(const struct pooled_session *pooled);
bool pooled_session_is_dead(const struct pooled_session *pooled);

/* Ready, and not opening a channel. */
bool pooled_session_is_free(const struct pooled_session *pooled);

/* Whether it serves others, now or soon: not dead, and not held up by an open that takes long. */
bool pooled_session_is_useful(const struct pooled_session *pooled);

/* Whether an open to `endpoint`, for somebody who still waits, takes long. */
bool pooled_session_is_stuck_at(const struct pooled_session *pooled,
				const struct address *endpoint);

/* Whether an open to `endpoint` is under way, and not given up. */
bool pooled_session_is_opening(const struct pooled_session *pooled, const struct address *endpoint);

/* Whether its last opens were to `endpoint`, and one came through lately. */
bool pooled_session_has_reached(const struct pooled_session *pooled,
				const struct address *endpoint);

/* Whether it is held up by an open to `endpoint` that was given up. */
bool pooled_session_is_held_up_by(const struct pooled_session *pooled,
				  const struct address *endpoint);

/* Whether it is held up by an open that nobody waits for, and holds no channel. */
bool pooled_session_is_worthless(const struct pooled_session *pooled);

/* How many requests that wait in line it will serve within `span_us`, by what the last open took.
 * The one under way may take a quarter of that time longer; after that it is none. UINT_MAX: the
 * first open is under way, and nothing is known yet. */
unsigned pooled_session_serves_within(const struct pooled_session *pooled, uint64_t span_us);

/* How many channels it holds. */
unsigned pooled_session_channel_count(const struct pooled_session *pooled);

/* For its pool to remember, from one look at surplus sessions to the next. */
void pooled_session_set_idle(struct pooled_session *pooled, bool is_idle);
bool pooled_session_was_idle(const struct pooled_session *pooled);

/* Opens a channel to `endpoint` (borrowed until it is over). Only when it is free. */
void pooled_session_open(struct pooled_session *pooled, const struct address *endpoint,
			 pooled_session_channel_cb *on_channel, void *arg);

/* The callback will not come. The session stays occupied until the server has answered; if that
 * takes long, on_change() comes, and others need not wait for it. */
void pooled_session_forget(struct pooled_session *pooled);

/* Asks it for a sign of life now, if it is ready. */
void pooled_session_probe(struct pooled_session *pooled);

#endif
