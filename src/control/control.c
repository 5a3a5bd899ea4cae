#include "control/control.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/list.h"
#include "base/memory.h"
#include "control/control_socket.h"
#include "control/http_server.h"
#include "control/json.h"
#include "control/metrics.h"
#include "control/page.h"
#include "control/resources.h"
#include "control/status.h"
#include "control/survey.h"
#include "control/upstream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	STATUS_BACKLOG = 128,
	SURVEY_PATIENCE_MS = 2000,
	/* Above a usual way and its retries. Who asks while one look goes on waits for this, the
	 * interval, and this again: that must be less than what commands wait (commands.c). */
	UPSTREAM_PATIENCE_MS = 5000,
	UPSTREAM_INTERVAL_MS = 2000, /* each look makes a connection to every endpoint */
};

/* A listening socket, from its opening to the server that it becomes. */
struct opened {
	int fd; /* owned; -1: handed over */
	bool is_local;
	struct http_server *server; /* owned; NULL: not started */
};

struct control {
	struct control_host host;
	struct control_socket *socket; /* owned; NULL: none */
	struct opened *opened;         /* owned */
	size_t opened_count;
	struct surveyor *surveyor;    /* owned */
	struct surveyor *upstream;    /* owned; the same, after a look at the endpoints */
	struct resources *resources;  /* owned */
	struct list questions;        /* that wait for a survey */
	struct http_exchange *reload; /* that waits for its outcome; NULL: none */
	struct event stop;            /* is wished */
	int64_t started_ms;
	uint64_t started_us; /* by compat_elapsed_us() */
	char page_policy[PAGE_POLICY_SIZE];
};

typedef void answer_cb(struct control *control, struct http_exchange *exchange,
		       const struct survey_result *result);

/* A request that the workers must be asked for. */
struct question {
	struct list link;
	struct control *control;
	struct http_exchange *exchange; /* to be answered */
	answer_cb *answer;
	struct survey *survey; /* under way */
};

static struct control_facts
facts_of(const struct control *control)
{
	struct control_facts facts = {.phase = CONTROL_RUNNING};

	control->host.describe(control->host.arg, &facts);
	facts.started_ms = control->started_ms;
	facts.uptime_us = compat_elapsed_us() - control->started_us;
	return facts;
}

static void
get_workers(void *arg, struct worker *const **ret_workers, size_t *ret_count)
{
	struct control_facts facts = facts_of(arg);

	*ret_workers = facts.workers;
	*ret_count = facts.worker_count;
}

static void
free_question(struct question *question)
{
	list_remove(&question->link);
	survey_cancel(question->survey);
	free(question);
}

static void
on_surveyed(void *arg, const struct survey_result *result)
{
	struct question *question = arg;
	struct control *control = question->control;
	struct http_exchange *exchange = question->exchange;
	answer_cb *answer = question->answer;

	question->survey = NULL;
	free_question(question);
	answer(control, exchange, result);
}

/* Has `answer` called when the workers have been asked. */
static void
ask_workers(struct control *control, struct surveyor *surveyor, struct http_exchange *exchange,
	    answer_cb *answer)
{
	struct question *question = calloc(1, sizeof *question);

	if (question != NULL)
		question->survey = survey_start(surveyor, on_surveyed, question);
	if (question == NULL || question->survey == NULL) {
		free(question);
		http_reply_text(exchange, 503, "out of memory");
		return;
	}
	question->control = control;
	question->exchange = exchange;
	question->answer = answer;
	list_append(&control->questions, &question->link);
}

static void
reply_buffer(struct http_exchange *exchange, const struct http_reply *reply, struct evbuffer *body,
	     bool is_complete)
{
	if (is_complete)
		http_reply(exchange, reply, body);
	else
		http_reply_text(exchange, 503, "out of memory");
	if (body != NULL)
		evbuffer_free(body);
}

static void
answer_status(struct control *control, struct http_exchange *exchange,
	      const struct survey_result *result)
{
	static const struct http_reply reply = {.status = 200, .type = "application/json"};
	struct control_facts facts = facts_of(control);
	struct evbuffer *body = evbuffer_new();

	reply_buffer(exchange, &reply, body, body != NULL && status_write(&facts, result, body));
}

static void
answer_metrics(struct control *control, struct http_exchange *exchange,
	       const struct survey_result *result)
{
	bool is_openmetrics = metrics_wants_openmetrics(http_header(exchange, "Accept"));
	const struct http_reply reply = {.status = 200, .type = metrics_type(is_openmetrics)};
	struct control_facts facts = facts_of(control);
	struct evbuffer *body = evbuffer_new();
	struct resources_used used;

	resources_read(control->resources, &used);
	if (body != NULL)
		metrics_write(&facts, result, &used, is_openmetrics, body);
	reply_buffer(exchange, &reply, body, body != NULL);
}

static void
answer_upstream(struct control *control, struct http_exchange *exchange,
		const struct survey_result *result)
{
	struct control_facts facts = facts_of(control);
	bool is_ready = status_is_listening(&facts) && status_is_upstream_up(&facts, result);
	const struct http_reply reply = {
		.status = is_ready ? 200 : 503,
		.type = "text/plain; charset=utf-8",
	};
	struct evbuffer *body = evbuffer_new();

	if (body != NULL) {
		(void)evbuffer_add_printf(body, "%s\n", status_phase_name(facts.phase));
		status_write_upstream(&facts, result, body);
	}
	reply_buffer(exchange, &reply, body, body != NULL);
}

static void
serve_status(struct control *control, struct http_exchange *exchange)
{
	ask_workers(control, control->surveyor, exchange, answer_status);
}

static void
serve_metrics(struct control *control, struct http_exchange *exchange)
{
	ask_workers(control, control->surveyor, exchange, answer_metrics);
}

/* That this is answered is the answer. */
static void
serve_livez(struct control *control ATTR_UNUSED, struct http_exchange *exchange)
{
	http_reply_text(exchange, 200, "alive");
}

static void
serve_page(struct control *control, struct http_exchange *exchange)
{
	const struct http_reply reply = {
		.status = 200,
		.type = "text/html; charset=utf-8",
		.policy = control->page_policy,
	};
	struct evbuffer *body = evbuffer_new();

	reply_buffer(exchange, &reply, body, body != NULL && page_write(body));
}

static bool
is_wanted(const char *argument)
{
	return argument != NULL && strcmp(argument, "0") != 0;
}

static void
serve_readyz(struct control *control, struct http_exchange *exchange)
{
	struct control_facts facts = facts_of(control);

	if (is_wanted(http_argument(exchange, "upstream")))
		ask_workers(control, control->upstream, exchange, answer_upstream);
	else
		http_reply_text(exchange, status_is_listening(&facts) ? 200 : 503,
				status_phase_name(facts.phase));
}

static void
serve_startupz(struct control *control, struct http_exchange *exchange)
{
	struct control_facts facts = facts_of(control);

	http_reply_text(exchange, facts.phase != CONTROL_STARTING ? 200 : 503,
			status_phase_name(facts.phase));
}

static json_t *
list_findings(const struct report *report)
{
	static const char *const levels[] = {
		[REPORT_ERROR] = "error",
		[REPORT_WARNING] = "warning",
		[REPORT_NOTE] = "note",
	};
	json_t *array = json_array();
	const struct report_entry *entry;

	for (size_t i = 0; report != NULL && (entry = report_get(report, i)) != NULL; i++)
		(void)json_array_append_new(array,
					    json_pack("{s:s, s:o}", "level", levels[entry->level],
						      "text", json_text(entry->text)));
	return array;
}

static void
on_reloaded(void *arg, bool is_applied, const struct report *report)
{
	struct control *control = arg;
	struct http_exchange *exchange = control->reload;
	const struct http_reply reply = {
		.status = is_applied ? 200 : 409,
		.type = "application/json",
	};
	struct evbuffer *body = evbuffer_new();

	control->reload = NULL;
	if (exchange == NULL) {
		if (body != NULL)
			evbuffer_free(body);
		return;
	}
	reply_buffer(exchange, &reply, body,
		     body != NULL && json_write(json_pack("{s:b, s:o}", "applied", is_applied,
							  "findings", list_findings(report)),
						body));
}

static void
serve_reload(struct control *control, struct http_exchange *exchange)
{
	struct err err;

	if (control->reload != NULL) {
		http_reply_text(exchange, 409, "a reload is under way already");
		return;
	}
	control->reload = exchange;
	if (control->host.reload == NULL) {
		control->reload = NULL;
		http_reply_text(exchange, 409, "this daemon cannot reload; restart it");
	} else if (!control->host.reload(control->host.arg, on_reloaded, control, &err)) {
		control->reload = NULL;
		http_reply_text(exchange, 409, err.text);
	}
}

static void
on_stop(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct control *control = arg;

	control->host.stop(control->host.arg);
}

/* The one who asked has been told. */
static void
stop_later(void *arg)
{
	struct control *control = arg;

	event_active(&control->stop, EV_TIMEOUT, 0);
}

static void
serve_stop(struct control *control, struct http_exchange *exchange)
{
	http_when_gone(exchange, stop_later, control);
	http_reply_text(exchange, 202, "stopping");
}

static const struct route {
	const char *path;
	bool is_order; /* POST, and on the control socket only */
	void (*serve)(struct control *control, struct http_exchange *exchange);
} routes[] = {
	{"/", false, serve_page},         {"/livez", false, serve_livez},
	{"/readyz", false, serve_readyz}, {"/startupz", false, serve_startupz},
	{"/status", false, serve_status}, {"/metrics", false, serve_metrics},
	{"/reload", true, serve_reload},  {"/stop", true, serve_stop},
};

static const struct route *
find_route(const char *path)
{
	for (size_t i = 0; i < ARRAY_LENGTH(routes); i++) {
		if (strcmp(routes[i].path, path) == 0)
			return &routes[i];
	}
	return NULL;
}

static void
refuse_method(struct http_exchange *exchange, const char *method)
{
	const struct http_reply reply = {
		.status = 405,
		.type = "text/plain; charset=utf-8",
		.allow = method,
	};
	struct evbuffer *body = evbuffer_new();

	if (body != NULL)
		(void)evbuffer_add_printf(body, "this is asked for with %s\n", method);
	reply_buffer(exchange, &reply, body, body != NULL);
}

static void
on_request(void *arg, struct http_exchange *exchange)
{
	const struct route *route = find_route(http_path(exchange));

	if (route == NULL)
		http_reply_text(exchange, 404, "there is nothing of that name");
	else if (route->is_order && !http_is_local(exchange))
		http_reply_text(exchange, 403, "orders are taken on the control socket only");
	else if (route->is_order != http_is_post(exchange))
		refuse_method(exchange, route->is_order ? "POST" : "GET");
	else
		route->serve(arg, exchange);
}

static void
add_opened(struct control *control, int fd, bool is_local)
{
	control->opened = memory_grow(control->opened, control->opened_count + 1,
				      sizeof *control->opened);
	control->opened[control->opened_count++] = (struct opened){.fd = fd, .is_local = is_local};
}

/* Two daemons of one user share a default, and the second one does without. */
static void
open_socket(struct control *control, const struct global_options *options, struct report *report)
{
	struct err err;

	if (control_socket_is_off(options->control))
		return;
	control->socket = control_socket_open(options, &err);
	if (control->socket != NULL)
		add_opened(control, -1, true);
	else
		report_add(report,
			   control_socket_is_auto(options->control) ? REPORT_NOTE : REPORT_ERROR,
			   (struct location){0}, "control = %s: %s", options->control, err.text);
}

static bool
listen_on(struct control *control, const struct addrinfo *item, struct err *err)
{
	int fd = compat_socket(item->ai_family);
	int on = 1;

	if (fd < 0)
		return err_set_errno(err, errno, "no socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, item->ai_addr, item->ai_addrlen) != 0 || listen(fd, STATUS_BACKLOG) != 0) {
		(void)err_set_errno(err, errno, "cannot listen there");
		(void)close(fd);
		return false;
	}
	add_opened(control, fd, false);
	return true;
}

/* One address of the name is enough: localhost may have one that this machine lacks. */
static void
open_status(struct control *control, const struct address *address, struct report *report)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char name[SOCKET_NAME_SIZE];
	struct err err;
	bool is_open = false;
	bool is_name = strcmp(address_host(address), "localhost") == 0;
	int failure = getaddrinfo(is_name ? NULL : address->host, address->port, &hints, &found);

	if (failure != 0)
		(void)err_set(&err, "%s", gai_strerror(failure));
	for (const struct addrinfo *item = found; item != NULL; item = item->ai_next)
		is_open = listen_on(control, item, &err) || is_open;
	if (found != NULL)
		freeaddrinfo(found);
	if (!is_open)
		report_add(report, REPORT_ERROR, address->at, "statusListen = %s: %s",
			   address_format(address, name, sizeof name), err.text);
}

struct control *
control_open(const struct global_options *options, struct report *report)
{
	size_t errors_before = report_count(report, REPORT_ERROR);
	struct control *control = memory_zero(sizeof *control);

	list_init(&control->questions);
	control->started_ms = clock_wall_ms();
	control->started_us = compat_elapsed_us();
	open_socket(control, options, report);
	for (size_t i = 0; i < options->status_listen.count; i++)
		open_status(control, &options->status_listen.items[i], report);
	if (report_count(report, REPORT_ERROR) == errors_before)
		return control;
	control_close(control);
	return NULL;
}

static bool
start_server(struct control *control, struct event_base *base, struct opened *opened)
{
	const struct http_server_settings settings = {
		.base = base,
		.fd = opened->is_local ? control_socket_take(control->socket) : opened->fd,
		.is_local = opened->is_local,
		.on_request = on_request,
		.arg = control,
	};

	opened->fd = -1;
	opened->server = http_server_start(&settings);
	return opened->server != NULL;
}

bool
control_start(struct control *control, struct event_base *base, struct inbox *inbox,
	      const struct control_host *host, struct err *err)
{
	struct surveyor_settings settings = {
		.base = base,
		.inbox = inbox,
		.workers = get_workers,
		.arg = control,
		.patience_ms = SURVEY_PATIENCE_MS,
	};

	control->host = *host;
	if (!page_write_policy(control->page_policy))
		return err_set(err, "OpenSSL has no SHA-256");
	(void)event_assign(&control->stop, base, -1, 0, on_stop, control);
	control->surveyor = surveyor_new(&settings);
	settings.begin = upstream_begin;
	settings.patience_ms = UPSTREAM_PATIENCE_MS;
	settings.interval_ms = UPSTREAM_INTERVAL_MS;
	control->upstream = surveyor_new(&settings);
	control->resources = resources_open();
	if (control->surveyor == NULL || control->upstream == NULL)
		return err_set(err, "cannot prepare the control socket: out of memory");
	for (size_t i = 0; i < control->opened_count; i++) {
		if (!start_server(control, base, &control->opened[i]))
			return err_set(err, "cannot serve the control socket: out of memory");
	}
	return true;
}

const char *
control_path(const struct control *control)
{
	return control->socket != NULL ? control_socket_path(control->socket) : NULL;
}

void
control_close(struct control *control)
{
	if (control == NULL)
		return;
	/* First, so that whoever sees a connection end finds no socket any more. */
	control_socket_close(control->socket);
	while (!list_is_empty(&control->questions))
		free_question(LIST_ITEM(control->questions.next, struct question, link));
	control->reload = NULL;
	for (size_t i = 0; i < control->opened_count; i++) {
		http_server_close(control->opened[i].server);
		if (control->opened[i].fd >= 0)
			(void)close(control->opened[i].fd);
	}
	if (control->surveyor != NULL)
		(void)event_del(&control->stop);
	surveyor_free(control->surveyor);
	surveyor_free(control->upstream);
	resources_close(control->resources);
	free(control->opened);
	free(control);
}
