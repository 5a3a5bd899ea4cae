#include "tunnel/channel_request.h"

#include "base/clock.h"
#include "config/bastion.h"

#include <event2/event.h>
#include <stdlib.h>

void
channel_request_free(struct channel_request *request)
{
	list_remove(&request->link);
	(void)event_del(&request->deadline);
	free(request);
}

void
channel_request_end(struct channel_request *request, struct stream *channel, const struct err *err)
{
	session_pool_channel_cb *on_open = request->on_open;
	void *arg = request->arg;

	channel_request_free(request);
	on_open(arg, channel, err);
}

/* No session is there for it: says so around the endpoint's name. */
static void
refuse(struct channel_request *request, const char *before, const char *after)
{
	char endpoint[160];
	struct err err;

	(void)err_set(&err, "bastion '%s' %s %s%s", request->bastion->name, before,
		      address_format(request->endpoint, endpoint, sizeof endpoint), after);
	(void)err_mark(&err, ERR_TIMEOUT);
	channel_request_end(request, NULL, &err);
}

static void
give_up(struct channel_request *request)
{
	refuse(request, "had no session free for",
	       ": others to the same endpoint wait for its answer, or all of them do (sessions)");
}

void
channel_request_refuse(struct channel_request *request)
{
	refuse(request, "still waits for an answer from",
	       ", and has no session to spare for it (sessions)");
}

void
channel_request_return(struct channel_request *request, struct list *line)
{
	request->session = NULL;
	request->since_us = clock_now_us();
	list_prepend(line, &request->link);
	if (request->is_overdue)
		give_up(request);
}

void
channel_request_fail_all(struct list *line, const struct address *endpoint, const struct err *err)
{
	struct err copy = *err;
	struct list *next;

	for (struct list *link = line->next; link != line; link = next) {
		struct channel_request *request = LIST_ITEM(link, struct channel_request, link);
		next = link->next;
		if (endpoint == NULL || request->endpoint == endpoint)
			channel_request_end(request, NULL, &copy);
	}
}

static void
on_deadline(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct channel_request *request = arg;

	request->is_overdue = true;
	if (request->session == NULL) /* else the session's own timer decides */
		give_up(request);
}

struct channel_request *
channel_request_new(struct list *line, struct session_pool *pool,
		    const struct session_pool_request *way, const struct address *endpoint,
		    session_pool_channel_cb *on_open, void *arg)
{
	struct channel_request *request = calloc(1, sizeof *request);
	const struct bastion_options *options = &way->bastion->options;
	const struct timeval patience = {
		.tv_sec = options->timeout_connect_s + options->timeout_banner_s +
			  options->timeout_key_exchange_s + options->timeout_login_s +
			  options->timeout_open_s,
	};

	if (request == NULL)
		return NULL;
	request->pool = pool;
	request->bastion = way->bastion;
	request->endpoint = endpoint;
	request->on_open = on_open;
	request->arg = arg;
	request->since_us = clock_now_us();
	list_append(line, &request->link);
	(void)event_assign(&request->deadline, way->base, -1, 0, on_deadline, request);
	(void)event_add(&request->deadline, &patience);
	return request;
}
