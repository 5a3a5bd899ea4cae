#include "ssh/session_internal.h"

#include "config/bastion.h"

#include <stdlib.h>

enum {
	PACKET_SIZE = 32700,   /* the most that libssh2 sends in one packet */
	READ_SIZE = 32 * 1024, /* the most that is read at once */
};

struct ssh_channel {
	struct stream stream;        /* first, so that the two can be cast */
	struct list link;            /* in session->channels */
	struct ssh_session *session; /* borrowed; waits for us before it frees itself */
	LIBSSH2_CHANNEL *channel;    /* owned */
	unsigned known_interest;     /* what the session has looked at already */
	bool has_told_end;           /* the end-of-file was read */
};

static struct ssh_channel *
from_stream(struct stream *stream)
{
	return (struct ssh_channel *)(void *)stream;
}

static const struct ssh_channel *
from_const_stream(const struct stream *stream)
{
	return (const struct ssh_channel *)(const void *)stream;
}

static enum stream_result
session_ended(const struct ssh_channel *channel, struct err *err)
{
	(void)err_set(err, "the session to bastion '%s' is gone: %s",
		      channel->session->request.bastion->name, channel->session->why.text);
	(void)err_mark(err, ERR_DISCONNECTED);
	return STREAM_RESET;
}

static enum stream_result
classify(const struct ssh_channel *channel, ssize_t result, const char *doing, struct err *err)
{
	if (channel->session->state == SSH_SESSION_ENDED)
		return session_ended(channel, err);
	if (result == LIBSSH2_ERROR_EAGAIN)
		return STREAM_AGAIN;
	(void)err_set(err, "%s through bastion '%s' failed (libssh2 error %ld)", doing,
		      channel->session->request.bastion->name, (long)result);
	(void)err_mark(err, ERR_DISCONNECTED);
	return STREAM_RESET;
}

/*
 * Lets the server send more, in good time. libssh2 would do that by itself when it is read from,
 * by an amount that depends on how much is asked for; but if a key exchange holds the message
 * back, and the next read asks for another amount, it believes in another window than it told
 * the server, and drops bytes that do not fit. So the amount is always the same here, and
 * libssh2's own condition (less than three quarters, and what is asked for) is never met.
 */
static bool
widen_window(struct ssh_channel *channel)
{
	unsigned long initial = 0;
	unsigned long window = libssh2_channel_window_read_ex(channel->channel, NULL, &initial);

	if (window >= initial / 4 * 3 + READ_SIZE)
		return true;
	return libssh2_channel_receive_window_adjust2(channel->channel, initial / 4 + READ_SIZE, 1,
						      NULL) == 0;
}

static enum stream_result
channel_read(struct stream *stream, void *into, size_t size, size_t *ret_count, struct err *err)
{
	struct ssh_channel *channel = from_stream(stream);

	if (channel->session->state == SSH_SESSION_ENDED)
		return session_ended(channel, err);
	if (!widen_window(channel))
		return STREAM_AGAIN;
	ssize_t count = libssh2_channel_read(channel->channel, into,
					     size < READ_SIZE ? size : READ_SIZE);
	if (count > 0) {
		*ret_count = (size_t)count;
		return STREAM_OK;
	}
	if (count == 0) { /* which is not yet proof of an end */
		channel->has_told_end = libssh2_channel_eof(channel->channel) == 1;
		return channel->has_told_end ? STREAM_EOF : STREAM_AGAIN;
	}
	return classify(channel, count, "reading", err);
}

/* Whether the server has closed the channel, and not only its own direction. libssh2 lets a write
 * wait for room that never comes then. */
static bool
is_closed(const struct ssh_channel *channel)
{
	return libssh2_channel_eof(channel->channel) == 1 &&
	       libssh2_channel_wait_closed(channel->channel) == 0;
}

static enum stream_result
channel_write(struct stream *stream, const void *bytes, size_t length, size_t *ret_count,
	      struct err *err)
{
	struct ssh_channel *channel = from_stream(stream);

	if (channel->session->state == SSH_SESSION_ENDED)
		return session_ended(channel, err);
	if (ssh_transport_is_full(channel->session))
		return STREAM_AGAIN;
	ssize_t count = libssh2_channel_write(channel->channel, bytes,
					      length < PACKET_SIZE ? length : PACKET_SIZE);
	if ((count == 0 || count == LIBSSH2_ERROR_EAGAIN) && is_closed(channel)) {
		(void)err_set(err, "the endpoint has closed the connection");
		(void)err_mark(err, ERR_DISCONNECTED);
		return STREAM_RESET;
	}
	if (count == 0)
		return STREAM_AGAIN;
	if (count < 0)
		return classify(channel, count, "writing", err);
	*ret_count = (size_t)count;
	return STREAM_OK;
}

static enum stream_result
channel_shutdown(struct stream *stream, struct err *err)
{
	struct ssh_channel *channel = from_stream(stream);

	if (channel->session->state == SSH_SESSION_ENDED)
		return session_ended(channel, err);
	int result = libssh2_channel_send_eof(channel->channel);
	return result == 0 ? STREAM_OK : classify(channel, result, "ending our direction", err);
}

static unsigned long
readable_bytes(const struct ssh_channel *channel)
{
	unsigned long available = 0;

	(void)libssh2_channel_window_read_ex(channel->channel, &available, NULL);
	return available;
}

/* Whether reading would give something: bytes, or the end-of-file behind the last of them, which
 * no packet will announce any more. */
static bool
has_something(const struct ssh_channel *channel)
{
	return readable_bytes(channel) > 0 ||
	       (!channel->has_told_end && libssh2_channel_eof(channel->channel) == 1);
}

static bool
channel_has_pending(const struct stream *stream)
{
	const struct ssh_channel *channel = from_const_stream(stream);

	return channel->session->state != SSH_SESSION_ENDED && has_something(channel);
}

/* Events come from the session, which asks us at every turn. */
static void
channel_set_interest(struct stream *stream, unsigned interest)
{
	struct ssh_channel *channel = from_stream(stream);

	/* What is newly waited for may be there already. */
	if (interest & ~channel->known_interest)
		ssh_session_go_on_later(channel->session);
	channel->known_interest = interest;
}

static void
channel_reset_on_close(struct stream *stream ATTR_UNUSED)
{
	/* SSH has no reset: a channel that closes before its end-of-file says as much. */
}

static void
channel_free(struct stream *stream)
{
	struct ssh_channel *channel = from_stream(stream);

	list_remove(&channel->link);
	ssh_session_release_channel(channel->session, channel->channel);
	free(channel);
}

static const struct stream_ops channel_ops = {
	.read = channel_read,
	.write = channel_write,
	.shutdown = channel_shutdown,
	.has_pending = channel_has_pending,
	.set_interest = channel_set_interest,
	.reset_on_close = channel_reset_on_close,
	.free = channel_free,
};

struct stream *
ssh_channel_new(struct ssh_session *session, LIBSSH2_CHANNEL *channel)
{
	struct ssh_channel *created = calloc(1, sizeof *created);

	if (created == NULL)
		return NULL;
	stream_init(&created->stream, &channel_ops);
	created->session = session;
	created->channel = channel;
	list_append(&session->channels, &created->link);
	session->channel_count++;
	return &created->stream;
}

LIBSSH2_CHANNEL *
ssh_channel_any(const struct ssh_session *session)
{
	if (list_is_empty(&session->channels))
		return NULL;
	return LIST_ITEM(session->channels.next, struct ssh_channel, link)->channel;
}

static unsigned
readiness(const struct ssh_channel *channel)
{
	unsigned ready = 0;

	if (channel->session->state == SSH_SESSION_ENDED)
		return STREAM_READ | STREAM_WRITE;
	if (has_something(channel))
		ready |= STREAM_READ;
	if (!ssh_transport_is_full(channel->session) &&
	    (libssh2_channel_window_write_ex(channel->channel, NULL) > 0 || is_closed(channel)))
		ready |= STREAM_WRITE;
	return ready;
}

void
ssh_channel_wake_all(struct ssh_session *session)
{
	struct list *next;

	/* Holders free nothing inside this call, but one may set another's interest. */
	for (struct list *link = session->channels.next; link != &session->channels; link = next) {
		struct ssh_channel *channel = LIST_ITEM(link, struct ssh_channel, link);
		next = link->next;
		if (channel->stream.interest != 0)
			stream_notify(&channel->stream,
				      readiness(channel) & channel->stream.interest);
	}
}
