#include "ssh/session_internal.h"

#include "base/clock.h"
#include "base/text.h"
#include "config/address.h"
#include "config/bastion.h"
#include "ssh/wire.h"

#include <assert.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* Types of channels. */
static const char tcp_type[] = "direct-tcpip";
static const char unix_type[] = "direct-streamlocal@openssh.com";

void
ssh_open_clear(struct ssh_session *session)
{
	free(session->open.type);
	free(session->open.message);
	session->open.type = NULL;
	session->open.message = NULL;
	session->open.is_pending = false;
}

/* Whether that is what libssh2 says of a server that did not open a channel. */
static bool
is_refusal(const char *text)
{
	return strstr(text, "prohibited") != NULL || strstr(text, "connect failed") != NULL;
}

/* Why the bastion did not open a channel. It gives a reason's name only, and libssh2 drops the
 * server's own words. */
static void
explain_failed_open(struct ssh_session *session, struct err *err)
{
	const char *bastion = session->request.bastion->name;
	bool is_unix = strcmp(session->open.type, unix_type) == 0;
	char *text = NULL;

	(void)libssh2_session_last_error(session->ssh, &text, NULL, 0);
	if (is_unix && text != NULL && is_refusal(text)) {
		/* sshd gives one reason for all of these. */
		(void)err_set(err,
			      "bastion '%s' cannot reach the unix socket '%s': it is not there, "
			      "nothing listens, the user may not, or its sshd_config has "
			      "AllowStreamLocalForwarding no",
			      bastion, session->open.endpoint);
		(void)err_mark(err, ERR_UNREACHABLE);
	} else if (text != NULL && strstr(text, "prohibited") != NULL) {
		(void)err_set(err,
			      "bastion '%s' does not allow forwarding to %s; its sshd_config has "
			      "AllowTcpForwarding no or PermitOpen without it, or the key's line "
			      "in authorized_keys says no-port-forwarding or restrict, as for root "
			      "on EC2 (there the user is ec2-user, ubuntu or admin)",
			      bastion, session->open.endpoint);
		(void)err_mark(err, ERR_FORBIDDEN);
	} else if (text != NULL && strstr(text, "connect failed") != NULL) {
		(void)err_set(err,
			      "bastion '%s' cannot reach %s: the name is wrong there, a security "
			      "group does not let it through, or nothing listens",
			      bastion, session->open.endpoint);
		(void)err_mark(err, ERR_UNREACHABLE);
	} else {
		(void)err_set(err, "bastion '%s' opened no channel to %s: %s", bastion,
			      session->open.endpoint, text != NULL ? text : "no reason given");
	}
}

void
ssh_open_answer(struct ssh_session *session)
{
	ssh_channel_open_cb *on_open = session->open.on_open;
	struct stream *opened = session->opened;

	session->opened = NULL;
	session->open.on_open = NULL;
	if (on_open != NULL)
		on_open(session->open.arg, opened, opened != NULL ? NULL : &session->open_err);
	else if (session->request.on_free != NULL)
		session->request.on_free(session->arg);
}

static void
finish_open(struct ssh_session *session, LIBSSH2_CHANNEL *channel)
{
	if (session->open.on_open == NULL) {
		/* A probe; a server that really has such channels gets it back. */
		if (channel != NULL)
			ssh_session_drop_channel(session, channel);
	} else if (channel == NULL) {
		explain_failed_open(session, &session->open_err);
	} else {
		session->opened = ssh_channel_new(session, channel);
		if (session->opened == NULL) {
			(void)err_set(&session->open_err, "out of memory");
			ssh_session_drop_channel(session, channel);
		}
	}
	ssh_open_clear(session);
	event_active(&session->answer, EV_TIMEOUT, 0);
}

/* Whether the channel alone was refused; after anything else libssh2 makes no sense of what
 * comes. Its own time for an open is over after a minute. */
static bool
concerns_open_only(int error)
{
	return error == LIBSSH2_ERROR_CHANNEL_FAILURE || error == LIBSSH2_ERROR_TIMEOUT ||
	       error == LIBSSH2_ERROR_ALLOC;
}

int
ssh_open_step(struct ssh_session *session)
{
	if (!session->open.is_pending)
		return 0;
	LIBSSH2_CHANNEL *channel = libssh2_channel_open_ex(
		session->ssh, session->open.type, (unsigned)strlen(session->open.type),
		(unsigned)session->request.bastion->options.window_bytes,
		LIBSSH2_CHANNEL_PACKET_DEFAULT, (const char *)session->open.message,
		(unsigned)session->open.message_length);
	int error = channel == NULL ? libssh2_session_last_errno(session->ssh) : 0;
	if (error == LIBSSH2_ERROR_EAGAIN)
		return 0;
	if (error != 0 && !concerns_open_only(error))
		return error; /* whoever waits for it hears of the session's end */
	finish_open(session, channel);
	return 0;
}

/* A port by number or name (services(5)); the configuration has checked that it is one. Not by
 * getservbyname(), whose answer threads share, and a reload asks it too. */
static uint32_t
port_number(const char *port)
{
	const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	long number = 0;

	if (text_to_long(port, 1, UINT16_MAX, &number))
		return (uint32_t)number;
	if (getaddrinfo(NULL, port, &hints, &found) != 0)
		return 0;
	number = ntohs(((const struct sockaddr_in *)(const void *)found->ai_addr)->sin_port);
	freeaddrinfo(found);
	return (uint32_t)number;
}

/* What goes into the request for a channel: RFC 4254, 7.2, for TCP, and OpenSSH's PROTOCOL
 * file, 2.4, for a unix socket. The originator is of no interest to anybody. */
static bool
make_open_message(const struct address *endpoint, struct buffer *message)
{
	uint32_t port = 0;

	if (address_is_unix(endpoint))
		return wire_append_text(message, endpoint->path) && wire_append_text(message, "") &&
		       wire_append_u32(message, 0);
	port = port_number(endpoint->port);
	return wire_append_text(message, address_host(endpoint)) &&
	       wire_append_u32(message, port) && wire_append_text(message, "127.0.0.1") &&
	       wire_append_u32(message, 0);
}

void
ssh_session_open(struct ssh_session *session, const struct address *endpoint,
		 ssh_channel_open_cb *on_open, void *arg)
{
	struct ssh_open *open = &session->open;
	struct buffer message;

	assert(session->state == SSH_SESSION_READY && !ssh_session_is_opening(session));
	buffer_init(&message);
	open->on_open = on_open;
	open->arg = arg;
	open->began_us = clock_now_us();
	open->type = strdup(address_is_unix(endpoint) ? unix_type : tcp_type);
	(void)address_format(endpoint, open->endpoint, sizeof open->endpoint);
	if (open->type == NULL || !make_open_message(endpoint, &message)) {
		(void)err_set(&session->open_err, "out of memory");
		ssh_open_clear(session);
		buffer_done(&message);
		event_active(&session->answer, EV_TIMEOUT, 0);
		return;
	}
	open->message_length = buffer_length(&message);
	open->message = message.data; /* taken: it starts at the front */
	open->is_pending = true;
	ssh_session_go_on_later(session);
}

bool
ssh_open_probe(struct ssh_session *session)
{
	if (ssh_session_is_opening(session))
		return session->open.is_pending && session->open.on_open == NULL;
	session->open.on_open = NULL;
	session->open.began_us = clock_now_us();
	session->open.type = strdup("probe@cachetunnel");
	session->open.message_length = 0;
	session->open.is_pending = session->open.type != NULL;
	ssh_session_go_on_later(session);
	return session->open.is_pending;
}

bool
ssh_session_is_opening(const struct ssh_session *session)
{
	return session->open.is_pending || session->open.on_open != NULL || session->opened != NULL;
}

uint64_t
ssh_session_opening_us(const struct ssh_session *session)
{
	return clock_now_us() - session->open.began_us;
}
