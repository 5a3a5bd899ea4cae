#include "ssh/session_internal.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	READ_SIZE = 64 * 1024,
	GREETING_SIZE = 8 * 1024, /* OpenSSH sends about one */
	MAX_ROUNDS = 4,           /* so that others get their turn */
	/* Channels stop writing while this much waits for the stream below. */
	FULL_SIZE = 256 * 1024,
};

/* libssh2 asks for bytes. The end of the stream below is never told this way: libssh2 would then
 * refuse to hand out what it still holds for channels. */
static ssize_t
on_receive(libssh2_socket_t fd ATTR_UNUSED, void *into, size_t size, int flags ATTR_UNUSED,
	   void **abstract)
{
	struct ssh_session *session = *abstract;
	size_t count = buffer_length(&session->in);

	if (session->state == SSH_SESSION_ENDED)
		return -ECONNRESET;
	if (count == 0)
		return -EAGAIN;
	count = count < size ? count : size;
	memcpy(into, buffer_head(&session->in), count);
	buffer_consume(&session->in, count);
	return (ssize_t)count;
}

/* libssh2 sends. It is always told that all went out: a packet that it believes half sent would
 * block every other channel, and some of its callers forget about it. */
static ssize_t
on_send(libssh2_socket_t fd ATTR_UNUSED, const void *bytes, size_t length, int flags ATTR_UNUSED,
	void **abstract)
{
	struct ssh_session *session = *abstract;

	if (session->state == SSH_SESSION_ENDED || !buffer_append(&session->out, bytes, length))
		return -ECONNRESET;
	ssh_session_flush_later(session);
	return (ssize_t)length;
}

/* The server says why it leaves ("Too many authentication failures"). */
static void
on_disconnect(LIBSSH2_SESSION *ssh ATTR_UNUSED, int reason ATTR_UNUSED, const char *message,
	      int length, const char *language ATTR_UNUSED, int language_length ATTR_UNUSED,
	      void **abstract)
{
	struct ssh_session *session = *abstract;
	char text[sizeof session->farewell];

	(void)snprintf(text, sizeof text, "%.*s", length, message != NULL ? message : "");
	(void)text_escape(session->farewell, sizeof session->farewell, text);
}

void
ssh_transport_attach(struct ssh_session *session)
{
	(void)libssh2_session_callback_set(session->ssh, LIBSSH2_CALLBACK_DISCONNECT,
					   (void *)(uintptr_t)on_disconnect);
	/* The calls differ between libssh2's versions in name only; this one all of them have. */
	(void)libssh2_session_callback_set(session->ssh, LIBSSH2_CALLBACK_RECV,
					   (void *)(uintptr_t)on_receive);
	(void)libssh2_session_callback_set(session->ssh, LIBSSH2_CALLBACK_SEND,
					   (void *)(uintptr_t)on_send);
}

/* For what libssh2 does not tell about it. */
static bool
keep_greeting(struct ssh_session *session, const char *bytes, size_t length)
{
	size_t room = GREETING_SIZE - buffer_length(&session->greeting);

	return buffer_append(&session->greeting, bytes, length < room ? length : room);
}

static bool
end_below(struct ssh_session *session, const char *how)
{
	session->has_lower_ended = true;
	if (how != NULL)
		(void)err_set(&session->why, "%s", how);
	(void)err_mark(&session->why, ERR_DISCONNECTED);
	return false;
}

/* Reads once; false when nothing came or the stream below has ended. */
static bool
read_once(struct ssh_session *session)
{
	unsigned char bytes[READ_SIZE];
	size_t count = 0;

	switch (stream_read(session->lower, bytes, sizeof bytes, &count, &session->why)) {
	case STREAM_OK:
		if (session->state == SSH_SESSION_GREETING &&
		    !keep_greeting(session, (const char *)bytes, count))
			return end_below(session, "out of memory");
		return buffer_append(&session->in, bytes, count) ||
		       end_below(session, "out of memory");
	case STREAM_AGAIN:
		return false;
	case STREAM_EOF:
		return end_below(session, "the bastion closed the connection");
	case STREAM_RESET:
	case STREAM_FAILED:
		return end_below(session, NULL);
	}
	return false;
}

/* A stream below that is itself a channel holds bytes that no event will announce. */
void
ssh_transport_read(struct ssh_session *session)
{
	for (int round = 0; round < MAX_ROUNDS && read_once(session); round++) {
		session->must_step = true;
		session->alive.received_us = clock_now_us();
		if (!stream_has_pending(session->lower))
			return;
	}
	if (!session->has_lower_ended && stream_has_pending(session->lower))
		ssh_session_flush_later(session);
}

void
ssh_transport_flush(struct ssh_session *session)
{
	while (buffer_length(&session->out) > 0 && !session->has_lower_ended) {
		size_t count = 0;
		enum stream_result result = stream_write(session->lower, buffer_head(&session->out),
							 buffer_length(&session->out), &count,
							 &session->why);
		if (result == STREAM_AGAIN)
			return;
		if (result != STREAM_OK) {
			(void)end_below(session, NULL);
			return;
		}
		buffer_consume(&session->out, count);
	}
}

bool
ssh_transport_is_full(const struct ssh_session *session)
{
	return buffer_length(&session->out) >= FULL_SIZE;
}
