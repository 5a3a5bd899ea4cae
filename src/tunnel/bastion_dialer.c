#include "tunnel/bastion_dialer.h"

#include "base/clock.h"
#include "config/bastion.h"
#include "ssh/proxy_command.h"
#include "stream/socket_stream.h"
#include "tunnel/connector.h"
#include "tunnel/resolver.h"
#include "tunnel/session_pool.h"
#include "tunnel/socket_setup.h"
#include "tunnel/step.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>

struct bastion_dial {
	struct bastion_dial_request request;
	bastion_dial_cb *on_done;
	void *arg;
	uint64_t step_began_us;
	char port[8];
	struct address endpoint; /* of the bastion; its texts are borrowed */
	struct event
		timer; /* of the lookup, of an explanation; or begins outside of the caller's stack */

	/* What goes on; at most one of the three. */
	struct lookup *lookup;
	struct connector *connector;
	struct channel_request *channel;

	struct proxy_command *proxy; /* owned; lives as long as the way */

	/* While a failure is being explained. */
	struct err *failure;                     /* borrowed */
	bastion_dial_explained_cb *on_explained; /* NULL: none is */
	void *explained_arg;
};

static const struct bastion_options *
options_of(const struct bastion_dial *dial)
{
	return &dial->request.bastion->options;
}

static void
begin_step(struct bastion_dial *dial)
{
	dial->step_began_us = clock_now_us();
}

/* Tells that a step has ended; the callers fill what is known of it. */
static void
tell(const struct bastion_dial *dial, struct step step)
{
	step.bastion = dial->request.bastion;
	step.took_us = clock_now_us() - dial->step_began_us;
	step_tell(dial->request.observer, &step);
}

static void
fail(struct bastion_dial *dial, const struct err *err)
{
	dial->on_done(dial->arg, NULL, err);
}

static void
hand_over(struct bastion_dial *dial, int fd)
{
	struct stream *way = socket_stream_new(dial->request.base, fd);
	struct err err;

	if (way == NULL) {
		(void)err_set(&err, "out of memory");
		fail(dial, &err);
		return;
	}
	dial->on_done(dial->arg, way, NULL);
}

static void
on_connected(void *arg, int fd, const struct resolved_address *address, const struct err *err)
{
	struct bastion_dial *dial = arg;
	char name[SOCKET_NAME_SIZE] = "";

	dial->connector = NULL;
	if (address != NULL)
		(void)socket_name(&address->storage, address->length, name, sizeof name);
	tell(dial, (struct step){STEP_CONNECT, .err = err, .detail = name});
	if (fd < 0) {
		fail(dial, err);
		return;
	}
	hand_over(dial, fd);
}

static void
on_resolved(void *arg, const struct resolved *resolved, const struct err *err)
{
	static const struct socket_option_list no_options;
	struct bastion_dial *dial = arg;

	dial->lookup = NULL;
	(void)event_del(&dial->timer);
	tell(dial, (struct step){STEP_NAME, .err = err, .addresses = resolved});
	if (resolved == NULL) {
		fail(dial, err);
		return;
	}
	const struct connector_request request = {
		.base = dial->request.base,
		.timeout_s = options_of(dial)->timeout_connect_s,
		.dead_s = options_of(dial)->timeout_dead_s,
		.socket_options = &no_options,
		.addresses = resolved,
	};
	begin_step(dial);
	dial->connector = connector_start(&request, on_connected, dial);
	if (dial->connector == NULL) {
		struct err failure;
		(void)err_set(&failure, "out of memory");
		fail(dial, &failure);
	}
}

static void
on_channel(void *arg, struct stream *channel, const struct err *err)
{
	struct bastion_dial *dial = arg;

	dial->channel = NULL;
	tell(dial,
	     (struct step){STEP_CONNECT, .err = err, .detail = "a channel of the one before it"});
	dial->on_done(dial->arg, channel, err);
}

static void
run_command(struct bastion_dial *dial)
{
	const struct bastion_options *options = options_of(dial);
	struct err err;
	int fd = -1;
	char *command = proxy_command_expand(options->proxy_command, options->host,
					     (unsigned)options->port, dial->request.user, &err);

	if (command != NULL)
		dial->proxy = proxy_command_start(dial->request.base, command, dial->request.log,
						  &fd, &err);
	free(command);
	if (dial->proxy == NULL) {
		tell(dial, (struct step){STEP_CONNECT, .err = &err});
		fail(dial, &err);
		return;
	}
	tell(dial, (struct step){STEP_CONNECT, .detail = "proxyCommand"});
	hand_over(dial, fd);
}

static void
begin(struct bastion_dial *dial)
{
	const struct bastion_options *options = options_of(dial);
	struct timeval timeout = {.tv_sec = options->timeout_connect_s};
	struct err err;

	begin_step(dial);
	if (options->proxy_command != NULL) {
		run_command(dial);
		return;
	}
	if (dial->request.via != NULL) {
		dial->channel = session_pool_open(dial->request.via, &dial->endpoint, on_channel,
						  dial);
		if (dial->channel != NULL)
			return;
	} else {
		dial->lookup = resolver_start(dial->request.resolver, options->host, dial->port,
					      on_resolved, dial);
		if (dial->lookup != NULL) {
			(void)event_add(&dial->timer, &timeout);
			return;
		}
	}
	(void)err_set(&err, "out of memory");
	fail(dial, &err);
}

static void
finish_explaining(struct bastion_dial *dial, const char *outcome)
{
	bastion_dial_explained_cb *on_explained = dial->on_explained;

	dial->on_explained = NULL;
	(void)event_del(&dial->timer);
	if (outcome != NULL)
		(void)err_wrap(dial->failure, "proxyCommand ended (%s)", outcome);
	on_explained(dial->explained_arg);
}

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct bastion_dial *dial = arg;
	struct err err;

	if (dial->on_explained != NULL) {
		finish_explaining(dial, NULL);
		return;
	}
	if (dial->lookup == NULL) {
		begin(dial);
		return;
	}
	resolver_cancel(dial->lookup);
	dial->lookup = NULL;
	(void)err_set(&err,
		      "looking up '%s' timed out after %d s (TIMEOUTconnect); do the name servers "
		      "in /etc/resolv.conf or 'resolver' answer?",
		      options_of(dial)->host, options_of(dial)->timeout_connect_s);
	(void)err_mark(&err, ERR_NAME_SERVER);
	tell(dial, (struct step){STEP_NAME, .err = &err});
	fail(dial, &err);
}

struct bastion_dial *
bastion_dial_start(const struct bastion_dial_request *request, bastion_dial_cb *on_done, void *arg)
{
	struct bastion_dial *dial = calloc(1, sizeof *dial);

	if (dial == NULL)
		return NULL;
	dial->request = *request;
	dial->on_done = on_done;
	dial->arg = arg;
	(void)snprintf(dial->port, sizeof dial->port, "%d", request->bastion->options.port);
	dial->endpoint = (struct address){.host = options_of(dial)->host, .port = dial->port};
	(void)event_assign(&dial->timer, request->base, -1, 0, on_timer, dial);
	event_active(&dial->timer, EV_TIMEOUT, 0);
	return dial;
}

void
bastion_dial_free(struct bastion_dial *dial)
{
	if (dial == NULL)
		return;
	(void)event_del(&dial->timer);
	resolver_cancel(dial->lookup);
	connector_cancel(dial->connector);
	session_pool_cancel(dial->channel);
	proxy_command_stop(dial->proxy);
	free(dial);
}

static void
on_child_end(void *arg, const char *outcome)
{
	struct bastion_dial *dial = arg;

	if (dial->on_explained != NULL)
		finish_explaining(dial, outcome);
}

void
bastion_dial_explain(struct bastion_dial *dial, struct err *err,
		     bastion_dial_explained_cb *on_explained, void *arg)
{
	const struct timeval a_moment = {.tv_sec = dial->proxy != NULL ? 1 : 0};

	dial->failure = err;
	dial->on_explained = on_explained;
	dial->explained_arg = arg;
	(void)event_add(&dial->timer, &a_moment);
	if (dial->proxy != NULL)
		proxy_command_set_handler(dial->proxy, on_child_end, dial);
}
