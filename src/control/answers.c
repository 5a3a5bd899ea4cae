#include "control/answers.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/list.h"
#include "base/memory.h"
#include "control/control.h"
#include "control/http_server.h"
#include "control/json.h"
#include "control/metrics.h"
#include "control/page.h"
#include "control/resources.h"
#include "control/status.h"
#include "control/survey.h"
#include "control/upstream.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

enum {
	SURVEY_PATIENCE_MS = 2000,
	/* Above a usual way and its retries. Who asks while one look goes on waits for this, the
	 * interval, and this again: that must be less than what commands wait (commands.c). */
	UPSTREAM_PATIENCE_MS = 5000,
	UPSTREAM_INTERVAL_MS = 2000, /* each look makes a connection to every endpoint */
};

struct answers {
	struct control_host host;
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

typedef void answer_cb(struct answers *answers, struct http_exchange *exchange,
		       const struct survey_result *result);

/* A request that the workers must be asked for. */
struct question {
	struct list link;
	struct answers *answers;
	struct http_exchange *exchange; /* to be answered */
	answer_cb *answer;
	struct survey *survey; /* under way */
};

static struct control_facts
facts_of(const struct answers *answers)
{
	struct control_facts facts = {.phase = CONTROL_RUNNING};

	answers->host.describe(answers->host.arg, &facts);
	facts.started_ms = answers->started_ms;
	facts.uptime_us = compat_elapsed_us() - answers->started_us;
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
	struct answers *answers = question->answers;
	struct http_exchange *exchange = question->exchange;
	answer_cb *answer = question->answer;

	question->survey = NULL;
	free_question(question);
	answer(answers, exchange, result);
}

/* Has `answer` called when the workers have been asked. */
static void
ask_workers(struct answers *answers, struct surveyor *surveyor, struct http_exchange *exchange,
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
	question->answers = answers;
	question->exchange = exchange;
	question->answer = answer;
	list_append(&answers->questions, &question->link);
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
answer_status(struct answers *answers, struct http_exchange *exchange,
	      const struct survey_result *result)
{
	static const struct http_reply reply = {.status = 200, .type = "application/json"};
	struct control_facts facts = facts_of(answers);
	struct evbuffer *body = evbuffer_new();

	reply_buffer(exchange, &reply, body, body != NULL && status_write(&facts, result, body));
}

static void
answer_metrics(struct answers *answers, struct http_exchange *exchange,
	       const struct survey_result *result)
{
	bool is_openmetrics = metrics_wants_openmetrics(http_header(exchange, "Accept"));
	const struct http_reply reply = {.status = 200, .type = metrics_type(is_openmetrics)};
	struct control_facts facts = facts_of(answers);
	struct evbuffer *body = evbuffer_new();
	struct resources_used used;

	resources_read(answers->resources, &used);
	if (body != NULL)
		metrics_write(&facts, result, &used, is_openmetrics, body);
	reply_buffer(exchange, &reply, body, body != NULL);
}

static void
answer_upstream(struct answers *answers, struct http_exchange *exchange,
		const struct survey_result *result)
{
	struct control_facts facts = facts_of(answers);
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
serve_status(struct answers *answers, struct http_exchange *exchange)
{
	ask_workers(answers, answers->surveyor, exchange, answer_status);
}

static void
serve_metrics(struct answers *answers, struct http_exchange *exchange)
{
	ask_workers(answers, answers->surveyor, exchange, answer_metrics);
}

/* That this is answered is the answer. */
static void
serve_livez(struct answers *answers ATTR_UNUSED, struct http_exchange *exchange)
{
	http_reply_text(exchange, 200, "alive");
}

static void
serve_page(struct answers *answers, struct http_exchange *exchange)
{
	const struct http_reply reply = {
		.status = 200,
		.type = "text/html; charset=utf-8",
		.policy = answers->page_policy,
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
serve_readyz(struct answers *answers, struct http_exchange *exchange)
{
	struct control_facts facts = facts_of(answers);

	if (is_wanted(http_argument(exchange, "upstream")))
		ask_workers(answers, answers->upstream, exchange, answer_upstream);
	else
		http_reply_text(exchange, status_is_listening(&facts) ? 200 : 503,
				status_phase_name(facts.phase));
}

static void
serve_startupz(struct answers *answers, struct http_exchange *exchange)
{
	struct control_facts facts = facts_of(answers);

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
	struct answers *answers = arg;
	struct http_exchange *exchange = answers->reload;
	const struct http_reply reply = {
		.status = is_applied ? 200 : 409,
		.type = "application/json",
	};
	struct evbuffer *body = evbuffer_new();

	answers->reload = NULL;
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
serve_reload(struct answers *answers, struct http_exchange *exchange)
{
	struct err err;

	if (answers->reload != NULL) {
		http_reply_text(exchange, 409, "a reload is under way already");
		return;
	}
	answers->reload = exchange;
	if (answers->host.reload == NULL) {
		answers->reload = NULL;
		http_reply_text(exchange, 409, "this daemon cannot reload; restart it");
	} else if (!answers->host.reload(answers->host.arg, on_reloaded, answers, &err)) {
		answers->reload = NULL;
		http_reply_text(exchange, 409, err.text);
	}
}

static void
on_stop(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct answers *answers = arg;

	answers->host.stop(answers->host.arg);
}

/* The one who asked has been told. */
static void
stop_later(void *arg)
{
	struct answers *answers = arg;

	event_active(&answers->stop, EV_TIMEOUT, 0);
}

static void
serve_stop(struct answers *answers, struct http_exchange *exchange)
{
	http_when_gone(exchange, stop_later, answers);
	http_reply_text(exchange, 202, "stopping");
}

static const struct route {
	const char *path;
	bool is_order; /* POST, and on the control socket only */
	void (*serve)(struct answers *answers, struct http_exchange *exchange);
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

void
answers_on_request(void *arg, struct http_exchange *exchange)
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

struct answers *
answers_new(void)
{
	struct answers *answers = memory_zero(sizeof *answers);

	list_init(&answers->questions);
	answers->started_ms = clock_wall_ms();
	answers->started_us = compat_elapsed_us();
	return answers;
}

bool
answers_start(struct answers *answers, struct event_base *base, struct inbox *inbox,
	      const struct control_host *host, struct err *err)
{
	struct surveyor_settings settings = {
		.base = base,
		.inbox = inbox,
		.workers = get_workers,
		.arg = answers,
		.patience_ms = SURVEY_PATIENCE_MS,
	};

	answers->host = *host;
	if (!page_write_policy(answers->page_policy))
		return err_set(err, "OpenSSL has no SHA-256");
	(void)event_assign(&answers->stop, base, -1, 0, on_stop, answers);
	answers->surveyor = surveyor_new(&settings);
	settings.begin = upstream_begin;
	settings.patience_ms = UPSTREAM_PATIENCE_MS;
	settings.interval_ms = UPSTREAM_INTERVAL_MS;
	answers->upstream = surveyor_new(&settings);
	answers->resources = resources_open();
	return (answers->surveyor != NULL && answers->upstream != NULL) ||
	       err_set(err, "cannot prepare the control socket: out of memory");
}

void
answers_free(struct answers *answers)
{
	if (answers == NULL)
		return;
	while (!list_is_empty(&answers->questions))
		free_question(LIST_ITEM(answers->questions.next, struct question, link));
	if (answers->surveyor != NULL)
		(void)event_del(&answers->stop);
	surveyor_free(answers->surveyor);
	surveyor_free(answers->upstream);
	resources_close(answers->resources);
	free(answers);
}
