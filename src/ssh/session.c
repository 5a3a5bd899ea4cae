#include "ssh/session.h"

#include "base/clock.h"
#include "config/bastion.h"
#include "ssh/host_check.h"
#include "ssh/login_memory.h"
#include "ssh/session_internal.h"

#include <assert.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const state_names[] = {
	[SSH_SESSION_GREETING] = "greeting",
	[SSH_SESSION_LOGIN] = "login",
	[SSH_SESSION_READY] = "ready",
	[SSH_SESSION_ENDED] = "ended",
};

static const struct bastion_options *
options_of(const struct ssh_session *session)
{
	return &session->request.bastion->options;
}

static void
arm_timer_ms(struct ssh_session *session, int ms)
{
	struct timeval timeout = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	(void)event_del(&session->timer);
	if (ms > 0)
		(void)event_add(&session->timer, &timeout);
}

static void
arm_timer(struct ssh_session *session, int seconds)
{
	arm_timer_ms(session, seconds * 1000);
}

static void
set_state(struct ssh_session *session, enum ssh_session_state state)
{
	assert(state > session->state);
	log_write(session->request.log, LOG_LEVEL_DEBUG, "bastion '%s': session %s -> %s",
		  session->request.bastion->name, state_names[session->state], state_names[state]);
	session->state = state;
}

void
ssh_session_flush_later(struct ssh_session *session)
{
	if (session->state != SSH_SESSION_ENDED)
		event_active(&session->turn, EV_TIMEOUT, 0);
}

void
ssh_session_go_on_later(struct ssh_session *session)
{
	session->must_step = true;
	ssh_session_flush_later(session);
}

/* The session is over; `why` is filled. Those above are told, and hold dead streams. */
static void
end(struct ssh_session *session, bool is_refused)
{
	ssh_session_ready_cb *on_ready = session->on_ready;
	ssh_session_lost_cb *on_lost = session->on_lost;

	if (session->state == SSH_SESSION_ENDED)
		return;
	set_state(session, SSH_SESSION_ENDED);
	(void)event_del(&session->timer);
	(void)event_del(&session->turn);
	stream_set_interest(session->lower, 0);
	ssh_channel_wake_all(session);
	session->on_ready = NULL;
	session->on_lost = NULL;
	if (on_ready != NULL)
		on_ready(session->arg, &session->why, is_refused);
	else if (on_lost != NULL)
		on_lost(session->arg, &session->why);
}

/* The key is not the pinned one, but the server may have that too: the next session asks for keys
 * of other types, until all were seen. */
static void
look_for_other_keys(struct ssh_session *session)
{
	unsigned *seen = &session->request.memory->seen_host_keys;

	session->asks_again = host_check_has_more(session->request.bastion, session->ssh,
						  ssh_session_greeting(session), seen);
	if (!session->asks_again)
		*seen = 0;
}

static void
start_login(struct ssh_session *session)
{
	char key[HOST_CHECK_TEXT_SIZE];

	if (!host_check(session->request.bastion, session->ssh, session->request.log, key,
			&session->why)) {
		look_for_other_keys(session);
		end(session, true);
		return;
	}
	buffer_done(&session->greeting);
	if (session->request.on_host_accepted != NULL)
		session->request.on_host_accepted(session->arg, key);
	session->login = ssh_login_new(session);
	if (session->login == NULL) {
		(void)err_set(&session->why, "out of memory");
		end(session, false);
		return;
	}
	set_state(session, SSH_SESSION_LOGIN);
	arm_timer(session, options_of(session)->timeout_login_s);
}

static void
step_greeting(struct ssh_session *session)
{
	bool had_version = ssh_session_has_version(session);
	int result = libssh2_session_handshake(session->ssh, session->unused_fd);

	if (result == 0) {
		start_login(session);
	} else if (result != LIBSSH2_ERROR_EAGAIN) {
		session->request.memory->seen_host_keys = 0;
		ssh_explain_failed_greeting(session, result);
		end(session, session->is_shut_out);
	} else if (!had_version && ssh_session_has_version(session)) {
		arm_timer(session, options_of(session)->timeout_key_exchange_s);
	}
}

static void
step_login(struct ssh_session *session)
{
	ssh_session_ready_cb *on_ready = session->on_ready;

	assert(on_ready != NULL); /* it is called when the login ends, and that only once */
	switch (ssh_login_step(session->login, &session->why)) {
	case STREAM_AGAIN:
		return;
	case STREAM_OK:
		(void)ssh_login_describe(session->login, session->login_text,
					 sizeof session->login_text);
		session->needs_person = ssh_login_needs_person(session->login);
		ssh_login_free(session->login);
		session->login = NULL;
		set_state(session, SSH_SESSION_READY);
		arm_timer_ms(session, options_of(session)->alive_interval_ms);
		session->on_ready = NULL;
		on_ready(session->arg, NULL, false);
		return;
	case STREAM_EOF:
	case STREAM_RESET:
	case STREAM_FAILED:
		(void)err_mark(&session->why, ERR_LOGIN);
		end(session, true);
		return;
	}
}

/* Channels that we are done with go when the server has closed them too. */
static void
step_closing(struct ssh_session *session)
{
	struct list *next;

	for (struct list *link = session->closing.next; link != &session->closing; link = next) {
		struct closing_channel *closing = LIST_ITEM(link, struct closing_channel, link);
		next = link->next;
		if (libssh2_channel_free(closing->channel) == LIBSSH2_ERROR_EAGAIN)
			continue;
		list_remove(&closing->link);
		free(closing);
	}
}

/* Makes libssh2 read what has arrived even while nobody wants to read a channel: reading no
 * bytes at all does that, and sorts the packets to their channels. Where there is no channel to
 * read, the answer to a question of ours makes it read, for servers that ask idle sessions for
 * signs of life. 0, or the error that libssh2 cannot go on after. */
static int
drive(struct ssh_session *session)
{
	LIBSSH2_CHANNEL *any = ssh_channel_any(session);
	char nothing;

	/* Those that are closing read too. */
	if (any == NULL && list_is_empty(&session->closing) && buffer_length(&session->in) > 0)
		(void)ssh_open_probe(session);
	int error = ssh_open_step(session);
	if (error != 0 || any == NULL)
		return error;
	ssize_t result = libssh2_channel_read(any, &nothing, 0);
	return result < 0 && result != LIBSSH2_ERROR_EAGAIN ? (int)result : 0;
}

static void
step_ready(struct ssh_session *session)
{
	int error = drive(session);

	/* Before another call changes libssh2's text; what has come by now is still handed out. */
	if (error != 0)
		ssh_explain_broken(session, error);
	step_closing(session);
	ssh_channel_wake_all(session);
	if (error != 0)
		end(session, false);
}

static void
step(struct ssh_session *session)
{
	switch (session->state) {
	case SSH_SESSION_GREETING:
		step_greeting(session);
		return;
	case SSH_SESSION_LOGIN:
		step_login(session);
		return;
	case SSH_SESSION_READY:
		step_ready(session);
		return;
	case SSH_SESSION_ENDED:
		return;
	}
}

/* Steps until libssh2 makes no more of what has arrived. */
static void
step_all(struct ssh_session *session)
{
	size_t before;

	session->must_step = false;
	do {
		enum ssh_session_state state = session->state;
		before = buffer_length(&session->in);
		step(session);
		/* A new state begins with something to send. */
		if (session->state != state && session->state != SSH_SESSION_ENDED)
			step(session);
	} while (session->state != SSH_SESSION_ENDED && buffer_length(&session->in) > 0 &&
		 buffer_length(&session->in) < before);
}

/* Goes on as far as possible, writes, and derives what to wait for. */
static void
run_turn(struct ssh_session *session)
{
	if (session->must_step)
		step_all(session);
	if (session->state == SSH_SESSION_ENDED)
		return;
	bool was_full = ssh_transport_is_full(session);
	ssh_transport_flush(session);
	if (session->has_lower_ended) {
		ssh_explain_lower_end(session);
		end(session, session->is_shut_out);
		return;
	}
	stream_acknowledge(session->lower);
	if (was_full && !ssh_transport_is_full(session))
		ssh_channel_wake_all(session);
	stream_set_interest(session->lower,
			    STREAM_READ | (buffer_length(&session->out) > 0 ? STREAM_WRITE : 0U));
}

static void
on_answer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	ssh_open_answer(arg);
}

static void
on_turn(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct ssh_session *session = arg;

	if (stream_has_pending(session->lower))
		ssh_transport_read(session);
	run_turn(session);
}

static void
on_lower_ready(void *arg, struct stream *lower ATTR_UNUSED, unsigned ready)
{
	struct ssh_session *session = arg;

	if (ready & STREAM_READ)
		ssh_transport_read(session);
	/* At once, as timers that are due wait for what has come. */
	if (session->must_step)
		step_all(session);
	/* Not before others had their turn: what clients send now leaves with it in one write. */
	ssh_session_flush_later(session);
}

/* False: the server does not live any more, and is to be given up. After an error the session has
 * ended already. */
static bool
keep_alive(struct ssh_session *session)
{
	if (!ssh_alive_look(session))
		return false;
	int error = ssh_alive_ask(session);
	if (error != 0) {
		ssh_explain_broken(session, error);
		end(session, false);
		return true;
	}
	arm_timer_ms(session, options_of(session)->alive_interval_ms);
	return true;
}

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct ssh_session *session = arg;

	switch (session->state) {
	case SSH_SESSION_GREETING:
	case SSH_SESSION_LOGIN:
		break;
	case SSH_SESSION_READY:
		if (!keep_alive(session))
			break;
		return;
	case SSH_SESSION_ENDED:
		return;
	}
	ssh_explain_timeout(session);
	end(session, false);
}

static bool
set_up_library(struct ssh_session *session)
{
	session->ssh = libssh2_session_init_ex(NULL, NULL, NULL, session);
	session->unused_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (session->ssh == NULL || session->unused_fd < 0)
		return false;
	libssh2_session_set_blocking(session->ssh, 0);
	ssh_transport_attach(session);
	host_check_prefer(session->request.bastion, session->ssh,
			  session->request.memory->seen_host_keys);
	return true;
}

static void
free_session(struct ssh_session *session)
{
	assert(session->channel_count == 0);

	(void)event_del(&session->timer);
	(void)event_del(&session->turn);
	(void)event_del(&session->answer);
	ssh_login_free(session->login);
	ssh_open_clear(session);
	/* In this state the transport refuses to do anything, so that nothing in here waits for
	 * the server. */
	session->state = SSH_SESSION_ENDED;
	if (session->ssh != NULL)
		(void)libssh2_session_free(session->ssh);
	while (!list_is_empty(&session->closing)) {
		struct list *link = session->closing.next;
		list_remove(link);
		free(LIST_ITEM(link, struct closing_channel, link));
	}
	stream_free(session->lower);
	if (session->unused_fd >= 0)
		(void)close(session->unused_fd);
	buffer_done(&session->greeting);
	buffer_done(&session->in);
	buffer_done(&session->out);
	free(session);
}

struct ssh_session *
ssh_session_start(const struct ssh_session_request *request, struct stream *lower,
		  ssh_session_ready_cb *on_ready, ssh_session_lost_cb *on_lost, void *arg,
		  struct err *err)
{
	struct ssh_session *session = calloc(1, sizeof *session);

	if (session == NULL) {
		stream_free(lower);
		(void)err_set(err, "out of memory");
		return NULL;
	}
	session->request = *request;
	session->on_ready = on_ready;
	session->on_lost = on_lost;
	session->arg = arg;
	session->lower = lower;
	session->unused_fd = -1;
	list_init(&session->channels);
	list_init(&session->closing);
	(void)event_assign(&session->timer, request->base, -1, 0, on_timer, session);
	(void)event_assign(&session->turn, request->base, -1, 0, on_turn, session);
	(void)event_assign(&session->answer, request->base, -1, 0, on_answer, session);
	if (!set_up_library(session)) {
		(void)err_set(err, "cannot make an SSH session: out of memory or descriptors");
		free_session(session);
		return NULL;
	}
	stream_set_handler(lower, on_lower_ready, session);
	arm_timer(session, options_of(session)->timeout_banner_s);
	ssh_session_go_on_later(session);
	return session;
}

void
ssh_session_close(struct ssh_session *session)
{
	if (session == NULL)
		return;
	session->on_ready = NULL;
	session->on_lost = NULL;
	session->open.on_open = NULL;
	if (session->opened != NULL) {
		stream_free(session->opened);
		session->opened = NULL;
	}
	if (session->state == SSH_SESSION_READY) {
		(void)libssh2_session_disconnect(session->ssh, "bye");
		ssh_transport_flush(session);
		(void)err_set(&session->why, "it was closed");
		end(session, false);
	}
	session->is_closed = true;
	if (session->channel_count == 0)
		free_session(session);
}

const char *
ssh_session_describe_login(const struct ssh_session *session)
{
	return session->login_text;
}

bool
ssh_session_needs_person(const struct ssh_session *session)
{
	return session->needs_person;
}

bool
ssh_session_asks_again(const struct ssh_session *session)
{
	return session->asks_again;
}

unsigned
ssh_session_channel_count(const struct ssh_session *session)
{
	return session->channel_count;
}

void
ssh_session_drop_channel(struct ssh_session *session, LIBSSH2_CHANNEL *channel)
{
	struct closing_channel *closing;

	if (session->state == SSH_SESSION_ENDED)
		return; /* it goes with the session */
	if (libssh2_channel_free(channel) != LIBSSH2_ERROR_EAGAIN)
		return;
	closing = calloc(1, sizeof *closing);
	if (closing == NULL)
		return; /* as above */
	closing->channel = channel;
	list_append(&session->closing, &closing->link);
	ssh_session_go_on_later(session);
}

void
ssh_session_release_channel(struct ssh_session *session, LIBSSH2_CHANNEL *channel)
{
	ssh_session_drop_channel(session, channel);
	session->channel_count--;
	if (session->is_closed && session->channel_count == 0)
		free_session(session);
}

void
ssh_session_probe(struct ssh_session *session)
{
	/* Without aliveInterval nobody would look for the answer; TCP notices by itself. */
	if (session->state != SSH_SESSION_READY || options_of(session)->alive_interval_ms == 0)
		return;
	ssh_alive_forget(session);
	event_active(&session->timer, EV_TIMEOUT, 0);
}
