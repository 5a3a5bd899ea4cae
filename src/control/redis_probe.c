#include "control/redis_probe.h"

#include "base/clock.h"
#include "redis/reply.h"
#include "stream/stream.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* INFO's server section has some 30 short lines. */
enum { REPLY_LIMIT = 16 * 1024, READ_SIZE = 4096 };

enum probe_state {
	PROBE_PING,
	PROBE_INFO,
	PROBE_CLUSTER,
	PROBE_ENDED,
};

static const char *const questions[] = {
	[PROBE_PING] = "*1\r\n$4\r\nPING\r\n",
	[PROBE_INFO] = "*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n",
	[PROBE_CLUSTER] = "*2\r\n$7\r\nCLUSTER\r\n$4\r\nINFO\r\n",
};

struct redis_probe {
	struct stream *stream; /* borrowed */
	redis_probe_done_cb *on_done;
	void *arg;
	int timeout_s;
	enum probe_state state;
	const char *unsent; /* the rest of the question */
	uint64_t asked_us;
	struct redis_reply_reader *reader; /* owned */
	struct redis_facts facts;
	struct event timer; /* begins, outside of the caller's stack; then of the present answer */
};

static void
end(struct redis_probe *probe, const struct err *err)
{
	(void)event_del(&probe->timer);
	stream_set_handler(probe->stream, NULL, NULL);
	stream_set_interest(probe->stream, 0);
	/* A server that has answered PING is there, whatever became of the other questions. */
	if (probe->state != PROBE_PING)
		err = NULL;
	probe->state = PROBE_ENDED;
	probe->on_done(probe->arg, &probe->facts, err);
}

/* Writes what is left of the question; false, with the probe ended, if that failed. */
static bool
send_question(struct redis_probe *probe)
{
	struct err err = {{0}};
	size_t count;

	while (*probe->unsent != '\0') {
		switch (stream_write(probe->stream, probe->unsent, strlen(probe->unsent), &count,
				     &err)) {
		case STREAM_OK:
			probe->unsent += count;
			break;
		case STREAM_AGAIN:
			return true;
		case STREAM_EOF:
		case STREAM_RESET:
		case STREAM_FAILED:
			end(probe, &err);
			return false;
		}
	}
	return true;
}

static void
ask(struct redis_probe *probe, enum probe_state question)
{
	struct timeval timeout = {.tv_sec = probe->timeout_s};

	probe->state = question;
	probe->unsent = questions[question];
	probe->asked_us = clock_now_us();
	(void)event_del(&probe->timer);
	if (probe->timeout_s > 0)
		(void)event_add(&probe->timer, &timeout);
	if (send_question(probe))
		stream_set_interest(probe->stream,
				    STREAM_READ | (*probe->unsent != '\0' ? STREAM_WRITE : 0U));
}

static void
take_ping(struct redis_probe *probe, const struct redis_reply *reply)
{
	struct redis_facts *facts = &probe->facts;
	/* What a healthy server says to a stranger, or while it is not its turn to serve. */
	static const char *const signs_of_life[] = {"NOAUTH", "NOPERM", "LOADING", "MASTERDOWN",
						    "BUSY"};

	facts->ping_us = clock_now_us() - probe->asked_us;
	(void)snprintf(facts->ping, sizeof facts->ping, "%s", reply->text);
	facts->is_up = reply->kind != REDIS_REPLY_ERROR;
	for (size_t i = 0; i < ARRAY_LENGTH(signs_of_life); i++)
		facts->is_up = facts->is_up || redis_reply_is_error(reply, signs_of_life[i]);
	facts->needs_login = redis_reply_is_error(reply, "NOAUTH");
	if (facts->is_up && !facts->needs_login)
		ask(probe, PROBE_INFO);
	else {
		probe->state = PROBE_INFO; /* PING was answered */
		end(probe, NULL);
	}
}

static void
take_info(struct redis_probe *probe, const struct redis_reply *reply)
{
	struct redis_facts *facts = &probe->facts;
	char mode[REDIS_FACT_SIZE] = "";

	facts->info_us = clock_now_us() - probe->asked_us;
	if (reply->kind == REDIS_REPLY_ERROR)
		(void)snprintf(facts->refusal, sizeof facts->refusal, "%s", reply->text);
	if (redis_reply_find_info(reply, "valkey_version", facts->version, sizeof facts->version))
		(void)snprintf(facts->engine, sizeof facts->engine, "Valkey");
	else if (redis_reply_find_info(reply, "redis_version", facts->version,
				       sizeof facts->version))
		(void)snprintf(facts->engine, sizeof facts->engine, "Redis");
	if (redis_reply_find_info(reply, "redis_mode", mode, sizeof mode) ||
	    redis_reply_find_info(reply, "server_mode", mode, sizeof mode))
		facts->cluster = strcmp(mode, "cluster") == 0 ? REDIS_CLUSTER_ON
							      : REDIS_CLUSTER_OFF;
	if (facts->cluster == REDIS_CLUSTER_UNKNOWN)
		ask(probe, PROBE_CLUSTER);
	else
		end(probe, NULL);
}

static void
take_cluster(struct redis_probe *probe, const struct redis_reply *reply)
{
	if (reply->kind == REDIS_REPLY_BLOB)
		probe->facts.cluster = REDIS_CLUSTER_ON;
	else if (reply->kind == REDIS_REPLY_ERROR && strstr(reply->text, "cluster support") != NULL)
		probe->facts.cluster = REDIS_CLUSTER_OFF;
	end(probe, NULL);
}

static void
take_reply(struct redis_probe *probe, const struct redis_reply *reply)
{
	switch (probe->state) {
	case PROBE_PING:
		take_ping(probe, reply);
		return;
	case PROBE_INFO:
		take_info(probe, reply);
		return;
	case PROBE_CLUSTER:
		take_cluster(probe, reply);
		return;
	case PROBE_ENDED:
		return;
	}
}

static void
take_bytes(struct redis_probe *probe, const unsigned char *bytes, size_t count)
{
	struct redis_reply reply;
	struct err err;
	size_t used = 0;

	while (count > 0 && probe->state != PROBE_ENDED) {
		switch (redis_reply_read(probe->reader, bytes, count, &used, &reply, &err)) {
		case REDIS_REPLY_MORE:
			return;
		case REDIS_REPLY_DONE:
			bytes += used;
			count -= used;
			take_reply(probe, &reply);
			break;
		case REDIS_REPLY_FAILED:
			end(probe, &err);
			return;
		}
	}
}

static void
read_answers(struct redis_probe *probe)
{
	unsigned char bytes[READ_SIZE];
	struct err err = {{0}};
	size_t count = 0;

	while (probe->state != PROBE_ENDED) {
		switch (stream_read(probe->stream, bytes, sizeof bytes, &count, &err)) {
		case STREAM_OK:
			take_bytes(probe, bytes, count);
			break;
		case STREAM_AGAIN:
			return;
		case STREAM_EOF:
			(void)err_set(&err, "the server closed the connection without an answer");
			(void)err_mark(&err, ERR_DISCONNECTED);
			end(probe, &err);
			return;
		case STREAM_RESET:
		case STREAM_FAILED:
			end(probe, &err);
			return;
		}
	}
}

static void
on_ready(void *arg, struct stream *stream, unsigned ready)
{
	struct redis_probe *probe = arg;

	if ((ready & STREAM_WRITE) != 0 && !send_question(probe))
		return;
	if (*probe->unsent == '\0')
		stream_set_interest(stream, STREAM_READ);
	if ((ready & STREAM_READ) != 0)
		read_answers(probe);
}

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what, void *arg)
{
	struct redis_probe *probe = arg;
	struct err err;

	if (probe->unsent == NULL) {
		ask(probe, PROBE_PING);
		return;
	}
	if ((what & EV_TIMEOUT) == 0)
		return;
	(void)err_set(&err, "no answer came within %d s (TIMEOUTbusy)", probe->timeout_s);
	(void)err_mark(&err, ERR_TIMEOUT);
	end(probe, &err);
}

struct redis_probe *
redis_probe_start(struct event_base *base, struct stream *stream, int timeout_s,
		  redis_probe_done_cb *on_done, void *arg)
{
	struct redis_probe *probe = calloc(1, sizeof *probe);

	if (probe == NULL)
		return NULL;
	probe->reader = redis_reply_reader_new(REPLY_LIMIT);
	if (probe->reader == NULL) {
		free(probe);
		return NULL;
	}
	probe->stream = stream;
	probe->timeout_s = timeout_s;
	probe->on_done = on_done;
	probe->arg = arg;
	stream_set_handler(stream, on_ready, probe);
	(void)event_assign(&probe->timer, base, -1, 0, on_timer, probe);
	event_active(&probe->timer, EV_TIMEOUT, 0);
	return probe;
}

void
redis_probe_free(struct redis_probe *probe)
{
	if (probe == NULL)
		return;
	(void)event_del(&probe->timer);
	redis_reply_reader_free(probe->reader);
	free(probe);
}
