#include "stream/socket_stream.h"

#include "base/compat.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct socket_stream {
	struct stream stream; /* first, so that the two can be cast */
	int fd;               /* owned */
	struct event on_read; /* both persistent */
	struct event on_write;
	bool owes_acknowledgement; /* read since the last write, whose segment would have it */
	int usual_idle_s;          /* while it is urgent; 0: it is not */
	unsigned registered;       /* enum stream_interest that the two events stand for now */
};

static struct socket_stream *
from_stream(struct stream *stream)
{
	return (struct socket_stream *)(void *)stream;
}

/* Peers that left without ceremony, as opposed to trouble of our own (programming errors, no
 * memory). A write after the peer's end gives EPIPE; keepalive ends a silent peer with
 * ETIMEDOUT, and a router's word arrives as one of the UNREACH family. */
static enum stream_result
classify_errno(int error, const char *doing, struct err *err)
{
	switch (error) {
	case EAGAIN:
	case EINTR:
		return STREAM_AGAIN;
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
		(void)err_set_errno(err, error, "%s", doing);
		return STREAM_RESET;
	default:
		(void)err_set_errno(err, error, "%s", doing);
		return STREAM_FAILED;
	}
}

static enum stream_result
socket_read(struct stream *stream, void *into, size_t size, size_t *ret_count, struct err *err)
{
	struct socket_stream *socket = from_stream(stream);
	ssize_t count = recv(socket->fd, into, size, 0);

	if (count == 0)
		return STREAM_EOF;
	if (count < 0)
		return classify_errno(errno, "reading failed", err);
	socket->owes_acknowledgement = true;
	*ret_count = (size_t)count;
	return STREAM_OK;
}

static enum stream_result
socket_write(struct stream *stream, const void *bytes, size_t length, size_t *ret_count,
	     struct err *err)
{
	struct socket_stream *socket = from_stream(stream);
	ssize_t count = send(socket->fd, bytes, length, 0);

	if (count < 0)
		return classify_errno(errno, "writing failed", err);
	socket->owes_acknowledgement = false;
	*ret_count = (size_t)count;
	return STREAM_OK;
}

static enum stream_result
socket_shutdown(struct stream *stream, struct err *err)
{
	/* ENOTCONN: the peer has reset the connection meanwhile; there is nothing left to end. */
	if (shutdown(from_stream(stream)->fd, SHUT_WR) != 0 && errno != ENOTCONN)
		return classify_errno(errno, "ending our direction failed", err);
	return STREAM_OK;
}

static bool
socket_has_pending(const struct stream *stream ATTR_UNUSED)
{
	return false; /* what is in the kernel is announced by an event */
}

static void
on_event(evutil_socket_t fd ATTR_UNUSED, short what, void *arg)
{
	struct socket_stream *socket = arg;
	unsigned ready = 0;

	if (what & EV_READ)
		ready |= STREAM_READ;
	if (what & EV_WRITE)
		ready |= STREAM_WRITE;
	stream_notify(&socket->stream, ready & socket->stream.interest);
}

static void
set_event(struct event *event, bool is_wanted)
{
	if (is_wanted)
		(void)event_add(event, NULL);
	else
		(void)event_del(event);
}

static void
socket_set_interest(struct stream *stream, unsigned interest)
{
	struct socket_stream *socket = from_stream(stream);
	unsigned changed = socket->registered ^ interest;

	if (changed & STREAM_READ)
		set_event(&socket->on_read, (interest & STREAM_READ) != 0);
	if (changed & STREAM_WRITE)
		set_event(&socket->on_write, (interest & STREAM_WRITE) != 0);
	socket->registered = interest;
}

static void
socket_reset_on_close(struct stream *stream)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	/* On a unix socket this has no effect, and closing is enough. */
	(void)setsockopt(from_stream(stream)->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* The kernel forgets the wish with the next segment. On a unix socket this has no effect. */
static void
socket_acknowledge(struct stream *stream)
{
	struct socket_stream *socket = from_stream(stream);

	if (socket->owes_acknowledgement)
		compat_acknowledge_now(socket->fd);
	socket->owes_acknowledgement = false;
}

/* Linux counts a new TCP_KEEPIDLE from the last byte that came: who was quiet for a second is asked
 * at once. On a unix socket this has no effect. */
static void
socket_set_urgent(struct stream *stream, bool is_urgent)
{
	struct socket_stream *socket = from_stream(stream);
	int idle_s = is_urgent ? 1 : socket->usual_idle_s;
	socklen_t size = sizeof socket->usual_idle_s;

	if (is_urgent == (socket->usual_idle_s != 0) || COMPAT_TCP_KEEPIDLE < 0)
		return;
	if (!is_urgent)
		socket->usual_idle_s = 0;
	else if (getsockopt(socket->fd, IPPROTO_TCP, COMPAT_TCP_KEEPIDLE, &socket->usual_idle_s,
			    &size) != 0)
		return;
	(void)setsockopt(socket->fd, IPPROTO_TCP, COMPAT_TCP_KEEPIDLE, &idle_s, sizeof idle_s);
}

static void
socket_free(struct stream *stream)
{
	struct socket_stream *socket = from_stream(stream);

	(void)event_del(&socket->on_read);
	(void)event_del(&socket->on_write);
	(void)close(socket->fd);
	free(socket);
}

static const struct stream_ops socket_ops = {
	.read = socket_read,
	.write = socket_write,
	.shutdown = socket_shutdown,
	.has_pending = socket_has_pending,
	.set_interest = socket_set_interest,
	.reset_on_close = socket_reset_on_close,
	.acknowledge = socket_acknowledge,
	.set_urgent = socket_set_urgent,
	.free = socket_free,
};

struct stream *
socket_stream_new(struct event_base *base, int fd)
{
	struct socket_stream *socket = calloc(1, sizeof *socket);

	if (socket == NULL) {
		(void)close(fd);
		return NULL;
	}
	stream_init(&socket->stream, &socket_ops);
	socket->fd = fd;
	(void)event_assign(&socket->on_read, base, fd, EV_READ | EV_PERSIST, on_event, socket);
	(void)event_assign(&socket->on_write, base, fd, EV_WRITE | EV_PERSIST, on_event, socket);
	return &socket->stream;
}
