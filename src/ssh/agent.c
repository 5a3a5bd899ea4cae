#include "ssh/agent.h"

#include "base/buffer.h"
#include "base/compat.h"
#include "ssh/agent_message.h"
#include "ssh/wire.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	CHUNK_SIZE = 4096,
	RETRY_MS = 50,
};

enum agent_state {
	AGENT_IDLE,
	AGENT_UNASKABLE,  /* the start failed; the kick tells */
	AGENT_CONNECTING, /* the kick tries, and tries again where the agent's queue is full */
	AGENT_WRITING,
	AGENT_READING,
};

struct agent {
	char *path; /* owned */
	enum agent_state state;
	int fd;                /* owned; -1: not connected. Each request has its own connection */
	struct event io;       /* the socket's */
	struct event kick;     /* begins a request from the loop */
	struct event deadline; /* of the whole request */
	int timeout_s;
	struct buffer out; /* of the request, not written yet */
	struct buffer in;  /* of the answer, read so far */
	struct err err;

	agent_list_cb *on_list; /* one of the two while a request is under way */
	agent_sign_cb *on_sign;
	void *arg;
	unsigned flags;

	struct agent_identities identities;
};

/* Nothing of a request is left; what was listed before stays. */
static void
reset(struct agent *agent)
{
	(void)event_del(&agent->io);
	(void)event_del(&agent->kick);
	(void)event_del(&agent->deadline);
	if (agent->fd >= 0)
		(void)close(agent->fd);
	agent->fd = -1;
	buffer_done(&agent->out);
	buffer_done(&agent->in);
	agent->on_list = NULL;
	agent->on_sign = NULL;
	agent->state = AGENT_IDLE;
}

/* Hands over the outcome, as the last act: the callee may ask anew at once, and the answer that
 * `signature` lies in is kept out of that request's reach. */
static void
finish(struct agent *agent, bool is_done, struct wire_span signature)
{
	agent_list_cb *on_list = agent->on_list;
	agent_sign_cb *on_sign = agent->on_sign;
	struct buffer answer = agent->in;
	struct err err = agent->err;
	const struct err *failure = is_done ? NULL : &err;

	buffer_init(&agent->in);
	reset(agent);
	if (on_list != NULL)
		on_list(agent->arg, is_done ? agent->identities.items : NULL,
			agent->identities.count, failure);
	else
		on_sign(agent->arg, signature.bytes, signature.length, failure);
	buffer_done(&answer);
}

static void
fail(struct agent *agent)
{
	finish(agent, false, (struct wire_span){NULL, 0});
}

/* The answer is there: `in` holds exactly one message. */
static void
read_answer(struct agent *agent)
{
	struct wire_span signature = {NULL, 0};
	bool is_done;

	if (agent->on_list != NULL)
		is_done = agent_message_read_list(&agent->in, &agent->identities, &agent->err);
	else
		is_done = agent_message_read_signature(&agent->in, agent->flags, &signature,
						       &agent->err);
	if (!is_done)
		(void)err_wrap(&agent->err, "the agent at '%s'", agent->path);
	finish(agent, is_done, signature);
}

/* The length that the answer announces; 1 while that is not known. */
static uint32_t
announced(const struct agent *agent)
{
	struct wire_span answer = {buffer_head(&agent->in), buffer_length(&agent->in)};
	uint32_t length;

	return wire_read_u32(&answer, &length) ? length : 1;
}

/* How many bytes the answer lacks, as far as is known: the length itself comes first. */
static size_t
missing(const struct agent *agent)
{
	size_t have = buffer_length(&agent->in);

	return have < AGENT_MESSAGE_HEADER ? AGENT_MESSAGE_HEADER - have
					   : AGENT_MESSAGE_HEADER + announced(agent) - have;
}

static bool
check_length(struct agent *agent)
{
	uint32_t length = announced(agent);

	if (length > 0 && length <= AGENT_MESSAGE_LIMIT)
		return true;
	return err_set(&agent->err, "the agent at '%s' sent %s message; is it an SSH agent?",
		       agent->path, length == 0 ? "an empty" : "too long a");
}

static bool
set_lost(struct agent *agent, int error)
{
	if (error == 0 || error == EPIPE || error == ECONNRESET)
		return err_set(&agent->err,
			       "the agent at '%s' closed the connection before it answered; has "
			       "it just ended?",
			       agent->path);
	return err_set_errno(&agent->err, error, "talking to the agent at '%s' failed",
			     agent->path);
}

/* Reads what is there, never beyond the one answer. False with `err` when it failed. */
static bool
receive(struct agent *agent)
{
	unsigned char chunk[CHUNK_SIZE];

	for (size_t wanted; (wanted = missing(agent)) > 0;) {
		ssize_t count = recv(agent->fd, chunk,
				     wanted < sizeof chunk ? wanted : sizeof chunk, 0);
		if (count < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (count <= 0)
			return set_lost(agent, count < 0 ? errno : 0);
		if (!buffer_append(&agent->in, chunk, (size_t)count))
			return err_set(&agent->err, "no memory for the agent's answer");
		if (!check_length(agent))
			return false;
	}
	return true;
}

static bool
transmit(struct agent *agent)
{
	while (buffer_length(&agent->out) > 0) {
		ssize_t count = send(agent->fd, buffer_head(&agent->out),
				     buffer_length(&agent->out), 0);
		if (count < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (count < 0)
			return set_lost(agent, errno);
		buffer_consume(&agent->out, (size_t)count);
	}
	return true;
}

static void on_io(evutil_socket_t fd, short what, void *arg);

/* Interest follows from the state. */
static void
set_state(struct agent *agent, enum agent_state state)
{
	short wanted = EV_READ | EV_PERSIST;

	if (state == AGENT_WRITING)
		wanted |= EV_WRITE;
	agent->state = state;
	(void)event_del(&agent->io);
	(void)event_assign(&agent->io, event_get_base(&agent->io), agent->fd, wanted, on_io, agent);
	(void)event_add(&agent->io, NULL);
}

static void
on_io(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct agent *agent = arg;

	if (!transmit(agent) || !receive(agent))
		fail(agent);
	else if (missing(agent) == 0)
		read_answer(agent);
	else if (agent->state == AGENT_WRITING && buffer_length(&agent->out) == 0)
		set_state(agent, AGENT_READING);
}

static void
explain_unreachable(struct agent *agent, int error)
{
	const char *advice = error == ENOENT || error == ECONNREFUSED
				     ? "is it running, and SSH_AUTH_SOCK or identityAgent right?"
				     : "may this user use it?";

	(void)err_set_errno(&agent->err, error, "cannot connect to the agent at '%s'", agent->path);
	size_t length = strlen(agent->err.text);
	(void)snprintf(agent->err.text + length, sizeof agent->err.text - length, "; %s", advice);
}

/* EAGAIN: too many others wait to be accepted; no event will tell when that is over. */
static void
connect_or_retry(struct agent *agent)
{
	static const struct timeval later = {.tv_usec = RETRY_MS * 1000};
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, agent->path, strlen(agent->path) + 1);
	agent->fd = compat_socket(AF_UNIX);
	if (agent->fd >= 0 &&
	    (connect(agent->fd, (const struct sockaddr *)&address, sizeof address) == 0 ||
	     errno == EINPROGRESS)) {
		set_state(agent, AGENT_WRITING);
		return;
	}
	if (agent->fd >= 0 && errno == EAGAIN) {
		(void)close(agent->fd);
		agent->fd = -1;
		(void)event_add(&agent->kick, &later);
		return;
	}
	explain_unreachable(agent, errno);
	fail(agent);
}

static void
on_kick(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct agent *agent = arg;

	if (agent->state == AGENT_UNASKABLE)
		fail(agent);
	else
		connect_or_retry(agent);
}

static void
on_deadline(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct agent *agent = arg;

	(void)err_set(&agent->err,
		      "the agent at '%s' did not answer within %d s; does it wait for a "
		      "confirmation or a touch?",
		      agent->path, agent->timeout_s);
	fail(agent);
}

struct agent *
agent_new(struct event_base *base, const char *path)
{
	struct agent *agent = calloc(1, sizeof *agent);

	if (agent == NULL)
		return NULL;
	agent->path = strdup(path);
	if (agent->path == NULL) {
		free(agent);
		return NULL;
	}
	agent->fd = -1;
	(void)event_assign(&agent->io, base, -1, 0, on_io, agent);
	(void)event_assign(&agent->kick, base, -1, 0, on_kick, agent);
	(void)event_assign(&agent->deadline, base, -1, 0, on_deadline, agent);
	return agent;
}

void
agent_free(struct agent *agent)
{
	if (agent == NULL)
		return;
	reset(agent);
	agent_identities_done(&agent->identities);
	free(agent->path);
	free(agent);
}

/* Goes on from the loop, where the callback may be called. */
static void
begin(struct agent *agent, bool is_askable, int timeout_s)
{
	struct timeval timeout = {.tv_sec = timeout_s};

	agent->timeout_s = timeout_s;
	agent->state = AGENT_CONNECTING;
	if (strlen(agent->path) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
		is_askable = err_set(&agent->err,
				     "the path of the agent's socket is too long: '%s'",
				     agent->path);
	if (!is_askable)
		agent->state = AGENT_UNASKABLE;
	(void)event_add(&agent->deadline, &timeout);
	event_active(&agent->kick, EV_TIMEOUT, 0);
}

void
agent_start_list(struct agent *agent, int timeout_s, agent_list_cb *on_done, void *arg)
{
	reset(agent);
	agent_identities_done(&agent->identities);
	agent->on_list = on_done;
	agent->arg = arg;
	begin(agent, agent_message_put_list(&agent->out, &agent->err), timeout_s);
}

void
agent_start_sign(struct agent *agent, size_t index, const unsigned char *data, size_t length,
		 unsigned flags, int timeout_s, agent_sign_cb *on_done, void *arg)
{
	bool is_askable;

	reset(agent);
	agent->on_sign = on_done;
	agent->arg = arg;
	agent->flags = flags;
	if (index < agent->identities.count)
		is_askable = agent_message_put_sign(&agent->out, &agent->identities.items[index],
						    data, length, flags, &agent->err);
	else
		is_askable = err_set(&agent->err, "the agent at '%s' listed no such key",
				     agent->path);
	begin(agent, is_askable, timeout_s);
}
