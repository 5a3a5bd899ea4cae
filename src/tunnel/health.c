#include "tunnel/health.h"

#include "base/clock.h"
#include "stream/tls_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const layer_names[] = {
	[HEALTH_NAME] = "name", [HEALTH_BASTION] = "bastion", [HEALTH_CONNECT] = "connect",
	[HEALTH_TLS] = "tls",   [HEALTH_REDIS] = "redis",
};

static struct health_moment
now(void)
{
	return (struct health_moment){.at_us = clock_now_us(), .wall_ms = clock_wall_ms()};
}

void
health_pass(struct health *health, enum health_layer layer)
{
	health->view.steps[layer].passed = now();
}

void
health_fail(struct health *health, enum health_layer layer, const struct err *err)
{
	struct health_step *step = &health->view.steps[layer];

	step->failed = now();
	(void)snprintf(step->error, sizeof step->error, "%s", err->text);
}

static enum stats_failure
name_failure(enum err_kind kind)
{
	if (kind == ERR_NAME_UNKNOWN)
		return STATS_RESOLUTION_UNKNOWN;
	if (kind == ERR_NAME_SERVER)
		return STATS_RESOLUTION_SERVER;
	return kind == ERR_TIMEOUT ? STATS_RESOLUTION_TIMEOUT : STATS_RESOLUTION_OTHER;
}

static enum stats_failure
bastion_failure(enum err_kind kind)
{
	if (kind == ERR_HOST_KEY)
		return STATS_BASTION_HOST_KEY;
	return kind == ERR_LOGIN ? STATS_BASTION_LOGIN : STATS_BASTION_OTHER;
}

static enum stats_failure
connect_failure(enum err_kind kind)
{
	if (kind == ERR_REFUSED)
		return STATS_CONNECT_REFUSED;
	if (kind == ERR_UNREACHABLE)
		return STATS_CONNECT_UNREACHABLE;
	return kind == ERR_TIMEOUT ? STATS_CONNECT_TIMEOUT : STATS_CONNECT_OTHER;
}

/* A handshake fails over the certificate, or over anything else. */
static enum stats_failure
tls_failure(const struct err *err)
{
	static const struct {
		enum err_kind kind;
		enum stats_failure failure;
	} known[] = {
		{ERR_TLS_NONE, STATS_HANDSHAKE_NO_TLS},
		{ERR_TIMEOUT, STATS_HANDSHAKE_TIMEOUT},
		{ERR_DISCONNECTED, STATS_HANDSHAKE_CLOSED},
		{ERR_CERTIFICATE_NAME, STATS_VERIFICATION_NAME},
		{ERR_CERTIFICATE_EXPIRED, STATS_VERIFICATION_EXPIRED},
		{ERR_CERTIFICATE_UNTRUSTED, STATS_VERIFICATION_UNTRUSTED},
		{ERR_CERTIFICATE_REJECTED, STATS_VERIFICATION_REJECTED},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(known); i++) {
		if (known[i].kind == err->kind)
			return known[i].failure;
	}
	return STATS_HANDSHAKE_OTHER;
}

/* True: it went well. */
static bool
note(struct health *health, enum health_layer layer, const struct step *step,
     enum stats_failure failure)
{
	if (step->err == NULL) {
		health_pass(health, layer);
		return true;
	}
	health_fail(health, layer, step->err);
	stats_add(&health->stats->failures[failure], 1);
	return false;
}

static void
note_reached(struct health *health, const char *how)
{
	health->view.reached_at = now();
	(void)snprintf(health->view.reached, sizeof health->view.reached, "%s",
		       how != NULL ? how : "");
}

/* A resumed session shows no certificate anew, but remembers it. */
static void
note_certificate(struct health *health, const struct stream *stream)
{
	struct health_view *view = &health->view;
	struct tls_certificate certificate;

	if (!tls_stream_get_certificate(stream, &certificate))
		return;
	view->certificate_expires = (int64_t)certificate.expires_at;
	(void)snprintf(view->certificate_names, sizeof view->certificate_names, "%s",
		       certificate.names);
	(void)snprintf(view->certificate_issuer, sizeof view->certificate_issuer, "%s",
		       certificate.issuer);
	atomic_store_explicit(&health->stats->certificate_expires,
			      (long long)certificate.expires_at, memory_order_relaxed);
}

static void
note_secured(struct health *health, const struct step *step)
{
	struct health_view *view = &health->view;
	struct stats *stats = health->stats;
	bool is_resumed = tls_stream_is_resumed(step->secured);

	stats_add(is_resumed ? &stats->handshakes_resumed : &stats->handshakes_new, 1);
	stats_observe(&stats->handshake, step->took_us);
	view->secured_at = now();
	(void)snprintf(view->tls_version, sizeof view->tls_version, "%s",
		       tls_stream_version(step->secured));
	(void)snprintf(view->tls_cipher, sizeof view->tls_cipher, "%s",
		       tls_stream_cipher(step->secured));
	if (!is_resumed || view->certificate_expires == 0)
		note_certificate(health, step->secured);
}

static void
on_step(void *arg, const struct step *step)
{
	struct health *health = arg;
	struct stats *stats = health->stats;
	enum err_kind kind = step->err != NULL ? step->err->kind : ERR_OTHER;

	switch (step->kind) {
	case STEP_NAME:
		(void)note(health, HEALTH_NAME, step, name_failure(kind));
		break;
	case STEP_CONNECT:
	case STEP_CHANNEL:
		if (note(health, HEALTH_CONNECT, step, connect_failure(kind))) {
			stats_observe(&stats->connect, step->took_us);
			note_reached(health, step->detail);
			if (step->kind == STEP_CHANNEL)
				health_pass(health, HEALTH_BASTION);
		}
		break;
	case STEP_TLS:
		if (note(health, HEALTH_TLS, step,
			 step->err != NULL ? tls_failure(step->err) : STATS_HANDSHAKE_OTHER))
			note_secured(health, step);
		break;
	case STEP_HOST_KEY:
	case STEP_LOGIN:
		health_observe_bastion(health, step);
		break;
	}
}

void
health_note_move(struct health *health, const char *from)
{
	struct health_move *move = &health->view.move;

	stats_count_move(health->stats, from);
	*move = (struct health_move){.at = now()};
	(void)snprintf(move->from, sizeof move->from, "%s", from);
}

bool
health_expects_arrival(const struct health *health)
{
	const struct health_move *move = &health->view.move;

	return move->at.at_us != 0 && move->to[0] == '\0';
}

void
health_note_arrival(struct health *health, const char *to)
{
	struct health_move *move = &health->view.move;

	if (health_expects_arrival(health) && strcmp(move->from, to) != 0)
		(void)snprintf(move->to, sizeof move->to, "%s", to);
}

void
health_observe_bastion(struct health *health, const struct step *step)
{
	if (step->err != NULL)
		(void)note(health, HEALTH_BASTION, step, bastion_failure(step->err->kind));
	else if (step->kind == STEP_LOGIN)
		health_pass(health, HEALTH_BASTION);
}

void
health_book_init(struct health_book *book)
{
	list_init(&book->all);
}

void
health_book_done(struct health_book *book)
{
	while (!list_is_empty(&book->all)) {
		struct health *health = LIST_ITEM(book->all.next, struct health, link);
		list_remove(&health->link);
		stats_unref(health->stats);
		free(health);
	}
}

struct health *
health_book_get(struct health_book *book, struct stats *stats)
{
	for (struct list *link = book->all.next; link != &book->all; link = link->next) {
		struct health *health = LIST_ITEM(link, struct health, link);
		if (strcmp(health->stats->name, stats->name) != 0)
			continue;
		if (health->stats != stats) { /* the name was gone for a while */
			stats_unref(health->stats);
			health->stats = stats_ref(stats);
		}
		return health;
	}
	struct health *health = calloc(1, sizeof *health);
	if (health == NULL)
		return NULL;
	health->stats = stats_ref(stats);
	health->observer = (struct step_observer){.on_step = on_step, .arg = health};
	list_append(&book->all, &health->link);
	return health;
}

static bool
is_newer(const struct health_moment *moment, const struct health_moment *than)
{
	return moment->at_us > than->at_us;
}

static void
merge_step(struct health_step *into, const struct health_step *other)
{
	if (is_newer(&other->passed, &into->passed))
		into->passed = other->passed;
	if (is_newer(&other->failed, &into->failed)) {
		into->failed = other->failed;
		memcpy(into->error, other->error, sizeof into->error);
	}
}

/* Workers leave the same server within a moment; not all of them have come to the next one. */
static void
merge_move(struct health_move *into, const struct health_move *other)
{
	struct health_move older = *into;

	if (other->at.at_us == 0)
		return;
	if (is_newer(&other->at, &into->at))
		*into = *other;
	else
		older = *other;
	if (into->to[0] == '\0' && strcmp(into->from, older.from) == 0)
		memcpy(into->to, older.to, sizeof into->to);
}

void
health_merge(struct health_view *into, const struct health_view *other)
{
	for (size_t i = 0; i < HEALTH_LAYER_COUNT; i++)
		merge_step(&into->steps[i], &other->steps[i]);
	merge_move(&into->move, &other->move);
	if (is_newer(&other->reached_at, &into->reached_at)) {
		into->reached_at = other->reached_at;
		memcpy(into->reached, other->reached, sizeof into->reached);
	}
	if (!is_newer(&other->secured_at, &into->secured_at))
		return;
	into->secured_at = other->secured_at;
	into->certificate_expires = other->certificate_expires;
	memcpy(into->tls_version, other->tls_version, sizeof into->tls_version);
	memcpy(into->tls_cipher, other->tls_cipher, sizeof into->tls_cipher);
	memcpy(into->certificate_names, other->certificate_names, sizeof into->certificate_names);
	memcpy(into->certificate_issuer, other->certificate_issuer,
	       sizeof into->certificate_issuer);
}

const char *
health_layer_name(enum health_layer layer)
{
	return layer_names[layer];
}
