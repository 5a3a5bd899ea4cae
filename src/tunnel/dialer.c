#include "tunnel/dialer.h"

#include "base/clock.h"
#include "stream/socket_stream.h"
#include "stream/tls_stream.h"
#include "tunnel/connector.h"
#include "tunnel/endpoints.h"
#include "tunnel/resolver.h"
#include "tunnel/session_pool.h"
#include "tunnel/spread.h"
#include "tunnel/step.h"
#include "tunnel/watch.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum dial_state {
	DIAL_RESOLVING,
	DIAL_CONNECTING,
	DIAL_SECURING,
	DIAL_ENDED,
};

static const char *const state_names[] = {
	[DIAL_RESOLVING] = "resolving",
	[DIAL_CONNECTING] = "connecting",
	[DIAL_SECURING] = "securing",
	[DIAL_ENDED] = "ended",
};

struct dial {
	struct dial_request request;
	dial_done_cb *on_done;
	void *arg;
	enum dial_state state; /* written by set_state() only */
	size_t tried;          /* how many endpoints were begun with so far */
	uint64_t step_began_us;
	struct event timer; /* of the present state */
	struct event kick;  /* begins, and goes on, outside of the caller's stack */

	/* What goes on; at most one of the four. */
	struct lookup *lookup;
	struct connector *connector;
	struct channel_request *channel;
	struct stream *stream; /* owned; being secured, or failed at that */

	struct spread_place *chosen; /* borrowed, and counted until the dial has ended */
	struct dial_outcome outcome;
	struct err err;  /* of the last endpoint that failed */
	bool is_tried[]; /* which endpoints were */
};

static void
set_state(struct dial *dial, enum dial_state state)
{
	/* Forward only, except for going on with the next endpoint. */
	assert(dial->state != DIAL_ENDED);
	assert(state == DIAL_RESOLVING || state > dial->state);
	log_write(dial->request.log, LOG_LEVEL_DEBUG, "dial: %s -> %s", state_names[dial->state],
		  state_names[state]);
	dial->state = state;
}

static void
begin_step(struct dial *dial)
{
	dial->step_began_us = clock_now_us();
}

/* Tells that a step has ended; the callers fill what is known of it. */
static void
tell(const struct dial *dial, struct step step)
{
	step.bastion = step.kind == STEP_CHANNEL ? dial->request.service->service->bastion : NULL;
	step.endpoint = dial->outcome.endpoint;
	step.took_us = clock_now_us() - dial->step_began_us;
	step_tell(dial->request.observer, &step);
}

static const struct service_options *
options_of(const struct dial *dial)
{
	return &dial->request.service->service->options;
}

static size_t
endpoint_index(const struct dial *dial)
{
	return (size_t)(dial->outcome.endpoint - options_of(dial)->connect.items);
}

/* It is no longer counted among the endpoint's tunnels. */
static void
leave_endpoint(struct dial *dial)
{
	if (dial->request.endpoints != NULL && dial->outcome.endpoint != NULL)
		endpoints_leave(dial->request.endpoints, endpoint_index(dial));
}

/* A name that has not followed a failover says nothing about the server, nor does what is missing
 * here. */
static void
note_failure(const struct dial *dial, const struct err *err)
{
	if (dial->request.endpoints != NULL && err->kind != ERR_NAME_STALE &&
	    err->kind != ERR_EXHAUSTED)
		endpoints_note_failure(dial->request.endpoints, endpoint_index(dial), err);
}

static void
arm_timer(struct dial *dial, int seconds)
{
	struct timeval timeout = {.tv_sec = seconds};

	if (seconds > 0)
		(void)event_add(&dial->timer, &timeout);
}

/* Ends the dial; `err` NULL: it went well. */
static void
end(struct dial *dial, const struct err *err)
{
	char endpoint[SOCKET_NAME_SIZE];

	(void)event_del(&dial->timer);
	spread_close(dial->chosen);
	dial->chosen = NULL;
	set_state(dial, DIAL_ENDED);
	leave_endpoint(dial);
	if (err == NULL) {
		if (dial->request.endpoints != NULL)
			endpoints_note_success(dial->request.endpoints, endpoint_index(dial));
		dial->outcome.stream = dial->stream;
		dial->stream = NULL;
		dial->on_done(dial->arg, &dial->outcome, NULL);
		return;
	}
	if (err != &dial->err)
		dial->err = *err;
	if (dial->outcome.endpoint != NULL)
		(void)err_wrap(&dial->err, "%s",
			       address_format(dial->outcome.endpoint, endpoint, sizeof endpoint));
	dial->on_done(dial->arg, NULL, &dial->err);
}

/* This endpoint cannot be reached: on to the next one, or out of them. */
static void
try_next_endpoint(struct dial *dial, const struct err *err)
{
	(void)event_del(&dial->timer);
	note_failure(dial, err);
	if (dial->request.only != NULL || dial->tried >= options_of(dial)->connect.count) {
		end(dial, err);
		return;
	}
	leave_endpoint(dial);
	dial->outcome.endpoint = NULL; /* until the kick */
	log_write(dial->request.log, LOG_LEVEL_DEBUG, "dial: %s; trying the next endpoint",
		  err->text);
	set_state(dial, DIAL_RESOLVING);
	event_active(&dial->kick, EV_TIMEOUT, 0);
}

/* A server that hangs, or hangs up, in the handshake is as good as one that is not there. What else
 * goes wrong is a matter for a person. */
static void
fail_securing(struct dial *dial, const struct err *err)
{
	if (dial->request.spread != NULL)
		spread_note_failure(dial->request.spread, &dial->outcome.address);
	if (err->kind == ERR_TIMEOUT || err->kind == ERR_DISCONNECTED) {
		try_next_endpoint(dial, err);
		return;
	}
	note_failure(dial, err);
	end(dial, err);
}

static void
on_secured(void *arg, const struct err *err)
{
	struct dial *dial = arg;

	tell(dial, (struct step){STEP_TLS, .err = err, .secured = dial->stream});
	if (err == NULL)
		end(dial, NULL);
	else
		fail_securing(dial, err);
}

static void
secure(struct dial *dial, struct stream *lower)
{
	const struct address *endpoint = dial->outcome.endpoint;
	const struct tls_stream_request request = {
		.context = dial->request.service->tls,
		.sessions = dial->request.sessions,
		.endpoint = endpoint_index(dial),
		.host = address_is_unix(endpoint) ? NULL : address_host(endpoint),
	};

	set_state(dial, DIAL_SECURING);
	begin_step(dial);
	dial->stream = tls_stream_start(&request, lower, on_secured, dial, &dial->err);
	if (dial->stream == NULL) {
		tell(dial, (struct step){STEP_TLS, .err = &dial->err});
		fail_securing(dial, &dial->err);
		return;
	}
	dial->outcome.is_tls = true;
	arm_timer(dial, options_of(dial)->timeout_busy_s);
}

/* The way to the endpoint is there. */
static void
go_on_with(struct dial *dial, struct stream *stream)
{
	if (dial->request.service->tls != NULL) {
		secure(dial, stream);
		return;
	}
	dial->stream = stream;
	end(dial, NULL);
}

static void
on_connected(void *arg, int fd, const struct resolved_address *address, const struct err *err)
{
	struct dial *dial = arg;

	dial->connector = NULL;
	if (address != NULL) {
		dial->outcome.address = *address;
		(void)socket_name(&address->storage, address->length, dial->outcome.name,
				  sizeof dial->outcome.name);
	}
	tell(dial, (struct step){STEP_CONNECT, .err = err, .detail = dial->outcome.name});
	if (fd < 0) {
		try_next_endpoint(dial, err);
		return;
	}
	struct stream *stream = socket_stream_new(dial->request.base, fd);
	if (stream == NULL) {
		(void)err_set(&dial->err, "out of memory");
		end(dial, &dial->err);
	} else {
		go_on_with(dial, stream);
	}
}

static void
on_channel(void *arg, struct stream *channel, const struct err *err)
{
	struct dial *dial = arg;

	dial->channel = NULL;
	tell(dial, (struct step){STEP_CHANNEL, .err = err});
	if (channel == NULL) {
		try_next_endpoint(dial, err);
		return;
	}
	(void)snprintf(dial->outcome.name, sizeof dial->outcome.name, "through bastion '%s'",
		       dial->request.service->service->bastion->name);
	go_on_with(dial, channel);
}

/* Through a bastion, the name is looked up on its side. */
static void
hop_to(struct dial *dial, const struct address *endpoint)
{
	set_state(dial, DIAL_CONNECTING);
	begin_step(dial);
	dial->outcome.chosen_us = dial->step_began_us;
	dial->channel = session_pool_open(dial->request.pool, endpoint, on_channel, dial);
	if (dial->channel == NULL) {
		(void)err_set(&dial->err, "out of memory");
		end(dial, &dial->err);
	}
}

static void
on_address_failed(void *arg, const struct resolved_address *address)
{
	struct dial *dial = arg;

	spread_note_failure(dial->request.spread, address);
}

static void
connect_to(struct dial *dial, const struct resolved *addresses)
{
	const struct resolved *source = &dial->request.service->source;
	const struct connector_request request = {
		.base = dial->request.base,
		.timeout_s = options_of(dial)->timeout_connect_s,
		.dead_s = options_of(dial)->timeout_dead_s,
		.on_failed = dial->request.spread != NULL ? on_address_failed : NULL,
		.socket_options = &options_of(dial)->socket,
		.addresses = addresses,
		.source = source->count > 0 ? source : NULL,
	};

	(void)event_del(&dial->timer); /* the connector has its own, for each address */
	set_state(dial, DIAL_CONNECTING);
	begin_step(dial);
	dial->outcome.chosen_us = dial->step_began_us;
	dial->connector = connector_start(&request, on_connected, dial);
	if (dial->connector == NULL) {
		(void)err_set(&dial->err, "out of memory");
		end(dial, &dial->err);
	}
}

/* Puts replicas in the order to try them. False, and the dial goes on: all of them have failed
 * lately, and there is a service to fall back on. */
static bool
spread_over(struct dial *dial, struct resolved *addresses)
{
	struct spread *spread = dial->request.spread;

	spread_close(dial->chosen);
	dial->chosen = NULL;
	if (spread == NULL)
		return true;
	if (dial->request.service->service->fallback != NULL &&
	    spread_is_all_left_out(spread, addresses)) {
		(void)err_set(&dial->err, "every address of '%s' has failed lately",
			      address_host(dial->outcome.endpoint));
		(void)err_mark(&dial->err, ERR_UNREACHABLE);
		try_next_endpoint(dial, &dial->err);
		return false;
	}
	dial->chosen = spread_arrange(spread, addresses);
	return true;
}

/* Without the server that was the primary until a moment ago. */
static void
choose_address(struct dial *dial, const struct resolved *resolved)
{
	struct resolved left = *resolved;

	if (dial->request.watches != NULL)
		watch_leave_out_demoted(dial->request.watches[endpoint_index(dial)], &left);
	if (left.count == 0 && dial->request.takes_demoted)
		left = *resolved;
	if (!spread_over(dial, &left))
		return;
	if (left.count > 0) {
		connect_to(dial, &left);
		return;
	}
	(void)err_set(&dial->err,
		      "'%s' still leads to a server that refuses writes (READONLY); the name has "
		      "not followed the failover yet",
		      address_host(dial->outcome.endpoint));
	(void)err_mark(&dial->err, ERR_NAME_STALE);
	try_next_endpoint(dial, &dial->err);
}

static void
on_resolved(void *arg, const struct resolved *resolved, const struct err *err)
{
	struct dial *dial = arg;

	dial->lookup = NULL;
	tell(dial, (struct step){STEP_NAME, .err = err, .addresses = resolved});
	if (resolved == NULL)
		try_next_endpoint(dial, err);
	else
		choose_address(dial, resolved);
}

/* What is remembered of the name leads to a server that is the primary no longer. */
static bool
is_name_doubtful(const struct dial *dial)
{
	struct watch *const *watches = dial->request.watches;

	return watches != NULL && watch_has_demoted(watches[endpoint_index(dial)]);
}

static void
resolve(struct dial *dial, const struct address *endpoint)
{
	const char *host = address_host(endpoint);
	struct resolver *resolver = dial->request.resolver;

	begin_step(dial);
	dial->lookup = dial->request.is_anew || is_name_doubtful(dial)
			       ? resolver_start_anew(resolver, host, endpoint->port, on_resolved,
						     dial)
			       : resolver_start(resolver, host, endpoint->port, on_resolved, dial);
	if (dial->lookup == NULL) {
		(void)err_set(&dial->err, "out of memory");
		end(dial, &dial->err);
		return;
	}
	arm_timer(dial, options_of(dial)->timeout_connect_s);
}

static const struct address *
take_endpoint(struct dial *dial)
{
	size_t index = dial->tried++;

	if (dial->request.only != NULL)
		return dial->request.only;
	if (dial->request.endpoints != NULL)
		index = endpoints_take(dial->request.endpoints, dial->is_tried);
	dial->is_tried[index] = true;
	return &options_of(dial)->connect.items[index];
}

/* Begins with the next endpoint. */
static void
on_kick(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct dial *dial = arg;
	const struct address *endpoint = take_endpoint(dial);
	struct resolved local = {.count = 1};

	stream_free(dial->stream); /* of the last endpoint, if that failed in the handshake */
	dial->stream = NULL;
	dial->outcome.endpoint = endpoint;
	if (dial->request.pool != NULL)
		hop_to(dial, endpoint);
	else if (!address_is_unix(endpoint))
		resolve(dial, endpoint);
	else if (socket_unix_address(endpoint->path, &local.items[0].storage,
				     &local.items[0].length, &dial->err))
		connect_to(dial, &local);
	else
		try_next_endpoint(dial, &dial->err);
}

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct dial *dial = arg;
	const struct service_options *options = options_of(dial);

	if (dial->state == DIAL_RESOLVING) {
		resolver_cancel(dial->lookup);
		dial->lookup = NULL;
		(void)err_set(&dial->err,
			      "looking up '%s' timed out after %d s (TIMEOUTconnect); do the name "
			      "servers in /etc/resolv.conf or 'resolver' answer?",
			      address_host(dial->outcome.endpoint), options->timeout_connect_s);
		(void)err_mark(&dial->err, ERR_NAME_SERVER);
		tell(dial, (struct step){STEP_NAME, .err = &dial->err});
		try_next_endpoint(dial, &dial->err);
		return;
	}
	(void)err_set(&dial->err,
		      "the TLS handshake timed out after %d s (TIMEOUTbusy); if the endpoint has "
		      "no encryption in transit, write plain = yes",
		      options->timeout_busy_s);
	(void)err_mark(&dial->err, ERR_TIMEOUT);
	tell(dial, (struct step){STEP_TLS, .err = &dial->err, .secured = dial->stream});
	stream_free(dial->stream); /* it must not come to an end any more */
	dial->stream = NULL;
	fail_securing(dial, &dial->err);
}

struct dial *
dial_start(const struct dial_request *request, dial_done_cb *on_done, void *arg)
{
	struct dial *dial = calloc(1,
				   sizeof *dial + request->service->service->options.connect.count *
							  sizeof dial->is_tried[0]);

	if (dial == NULL)
		return NULL;
	assert(request->only == NULL || request->endpoints == NULL);
	dial->request = *request;
	dial->outcome.service = request->service;
	dial->on_done = on_done;
	dial->arg = arg;
	(void)event_assign(&dial->timer, request->base, -1, 0, on_timer, dial);
	(void)event_assign(&dial->kick, request->base, -1, 0, on_kick, dial);
	event_active(&dial->kick, EV_TIMEOUT, 0);
	return dial;
}

void
dial_free(struct dial *dial)
{
	if (dial == NULL)
		return;
	(void)event_del(&dial->timer);
	(void)event_del(&dial->kick);
	if (dial->state != DIAL_ENDED)
		leave_endpoint(dial);
	resolver_cancel(dial->lookup);
	connector_cancel(dial->connector);
	spread_close(dial->chosen);
	session_pool_cancel(dial->channel);
	stream_free(dial->stream);
	free(dial);
}
