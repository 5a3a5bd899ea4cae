#include "tunnel/connector.h"

#include "base/compat.h"
#include "tunnel/socket_setup.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The connection attempt delay of RFC 8305, 5. */
static const struct timeval attempt_delay = {.tv_usec = 250 * 1000};

/* One address that is being tried. */
struct attempt {
	struct connector *connector;
	const struct resolved_address *address; /* of the connector's own */
	int fd;                                 /* owned; -1: over */
	struct event progress;                  /* the socket's, with its time-out */
};

struct connector {
	struct connector_request request; /* but for the addresses, which are copied below */
	connector_done_cb *on_done;
	void *arg;
	struct resolved addresses; /* in the order of the race */
	size_t begun;              /* with how many of them */
	size_t running;
	struct event next; /* begins with the next address */
	struct err err;    /* of the last address that failed */
	struct attempt attempts[RESOLVED_MAX_ADDRESSES];
};

/* The first that is left of this family, or else of any. */
static size_t
find_left(const struct resolved *from, const bool *is_taken, int family)
{
	size_t any = from->count;

	for (size_t i = 0; i < from->count; i++) {
		if (is_taken[i])
			continue;
		if (from->items[i].storage.ss_family == family)
			return i;
		if (any == from->count)
			any = i;
	}
	return any;
}

/* Families take turns, each in its own order. */
static void
interleave(const struct resolved *from, struct resolved *ret_mixed)
{
	bool is_taken[RESOLVED_MAX_ADDRESSES] = {false};
	int family = from->items[0].storage.ss_family;

	*ret_mixed = *from;
	for (size_t i = 0; i < from->count; i++) {
		size_t chosen = find_left(from, is_taken, family);
		is_taken[chosen] = true;
		ret_mixed->items[i] = from->items[chosen];
		family = from->items[chosen].storage.ss_family == AF_INET6 ? AF_INET : AF_INET6;
	}
}

static void
close_attempt(struct attempt *attempt)
{
	if (attempt->fd < 0)
		return;
	(void)event_del(&attempt->progress);
	(void)close(attempt->fd);
	attempt->fd = -1;
	attempt->connector->running--;
}

static void
tell_failed(const struct attempt *attempt)
{
	const struct connector *connector = attempt->connector;

	if (connector->request.on_failed != NULL)
		connector->request.on_failed(connector->arg, attempt->address);
}

/* Those that had a head start and still have not answered. */
static void
tell_overtaken(const struct attempt *winner)
{
	for (const struct attempt *attempt = winner->connector->attempts; attempt < winner;
	     attempt++) {
		if (attempt->fd >= 0)
			tell_failed(attempt);
	}
}

/* Hands over the outcome; the connector is gone afterwards. `winner` NULL: nobody accepted. */
static void
finish(struct connector *connector, struct attempt *winner)
{
	connector_done_cb *on_done = connector->on_done;
	void *arg = connector->arg;
	struct err err = connector->err;
	struct resolved_address address;
	int fd = -1;

	if (winner != NULL) {
		tell_overtaken(winner);
		fd = winner->fd;
		address = *winner->address;
		(void)event_del(&winner->progress);
		winner->fd = -1;
	}
	connector_cancel(connector);
	on_done(arg, fd, fd >= 0 ? &address : NULL, fd >= 0 ? NULL : &err);
}

static const char *
name_of(const struct attempt *attempt, char *out, size_t size)
{
	return socket_name(&attempt->address->storage, attempt->address->length, out, size);
}

/* Why an address did not answer, and what it usually means. */
static void
explain(const struct attempt *attempt, int error)
{
	struct err *err = &attempt->connector->err;
	char name[SOCKET_NAME_SIZE];
	const char *advice = "";

	if (error == ECONNREFUSED)
		advice = "; nothing listens there: is the port right?";
	else if (error == EMFILE || error == ENFILE)
		advice = "; raise LimitNOFILE or ulimit -n";
	(void)err_set_errno(err, error, "cannot connect to %s",
			    name_of(attempt, name, sizeof name));
	(void)strncat(err->text, advice, sizeof err->text - strlen(err->text) - 1);
	/* A unix socket whose server starts anew, or has as many waiting as it wants. */
	if (attempt->address->storage.ss_family == AF_UNIX && (error == ENOENT || error == EAGAIN))
		(void)err_mark(err, ERR_REFUSED);
}

static void
explain_timeout(const struct attempt *attempt)
{
	char name[SOCKET_NAME_SIZE];

	(void)err_set(&attempt->connector->err,
		      "connecting to %s timed out after %d s (TIMEOUTconnect); does a firewall or "
		      "a security group let us through?",
		      name_of(attempt, name, sizeof name), attempt->connector->request.timeout_s);
	(void)err_mark(&attempt->connector->err, ERR_TIMEOUT);
}

/* `local`: the source address, with any port, where it is of the same family. */
static bool
bind_source(const struct attempt *attempt)
{
	const struct resolved *source = attempt->connector->request.source;

	for (size_t i = 0; source != NULL && i < source->count; i++) {
		const struct resolved_address *address = &source->items[i];
		if (address->storage.ss_family != attempt->address->storage.ss_family)
			continue;
		return bind(attempt->fd, (const struct sockaddr *)&address->storage,
			    address->length) == 0;
	}
	return true;
}

static void on_progress(evutil_socket_t fd, short what, void *arg);

/* False, explained, if it failed at once. */
static bool
open_socket(struct attempt *attempt)
{
	struct connector *connector = attempt->connector;
	int family = attempt->address->storage.ss_family;

	attempt->fd = compat_socket(family);
	if (attempt->fd < 0) {
		explain(attempt, errno);
		return false;
	}
	connector->running++;
	(void)event_assign(&attempt->progress, connector->request.base, attempt->fd, EV_WRITE,
			   on_progress, attempt);
	if (!socket_setup(attempt->fd, family, SOCKET_SIDE_REMOTE, connector->request.dead_s,
			  connector->request.socket_options, &connector->err))
		return false;
	if (!bind_source(attempt))
		return err_set_errno(&connector->err, errno,
				     "cannot connect from the address that 'local' gives");
	if (connect(attempt->fd, (const struct sockaddr *)&attempt->address->storage,
		    attempt->address->length) == 0 ||
	    errno == EINPROGRESS)
		return true;
	explain(attempt, errno);
	return false;
}

static void
give_up(struct attempt *attempt)
{
	close_attempt(attempt);
	if (attempt->connector->err.kind != ERR_EXHAUSTED)
		tell_failed(attempt);
}

/* Begins with the next address that can be begun with; out of them, waits for those that run. */
static void
begin_next(struct connector *connector)
{
	const struct timeval timeout = {.tv_sec = connector->request.timeout_s};

	(void)event_del(&connector->next);
	while (connector->begun < connector->addresses.count) {
		struct attempt *attempt = &connector->attempts[connector->begun];
		attempt->connector = connector;
		attempt->address = &connector->addresses.items[connector->begun++];
		if (!open_socket(attempt)) {
			give_up(attempt);
			continue;
		}
		(void)event_add(&attempt->progress, timeout.tv_sec > 0 ? &timeout : NULL);
		if (connector->begun < connector->addresses.count)
			(void)event_add(&connector->next, &attempt_delay);
		return;
	}
	if (connector->running == 0)
		finish(connector, NULL);
}

static void
on_progress(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *attempt = arg;
	struct connector *connector = attempt->connector;
	int error = 0;
	socklen_t size = sizeof error;

	if (what & EV_TIMEOUT) {
		explain_timeout(attempt);
	} else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0) {
		finish(connector, attempt);
		return;
	} else {
		explain(attempt, error);
	}
	give_up(attempt);
	begin_next(connector);
}

static void
on_next(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	begin_next(arg);
}

struct connector *
connector_start(const struct connector_request *request, connector_done_cb *on_done, void *arg)
{
	struct connector *connector = calloc(1, sizeof *connector);

	if (connector == NULL)
		return NULL;
	connector->request = *request;
	connector->on_done = on_done;
	connector->arg = arg;
	interleave(request->addresses, &connector->addresses);
	for (size_t i = 0; i < RESOLVED_MAX_ADDRESSES; i++)
		connector->attempts[i].fd = -1;
	(void)event_assign(&connector->next, request->base, -1, 0, on_next, connector);
	event_active(&connector->next, EV_TIMEOUT, 0);
	return connector;
}

void
connector_cancel(struct connector *connector)
{
	if (connector == NULL)
		return;
	(void)event_del(&connector->next);
	for (size_t i = 0; i < connector->begun; i++)
		close_attempt(&connector->attempts[i]);
	free(connector);
}
