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

struct connector {
	struct connector_request request; /* but for the addresses, which are copied below */
	connector_done_cb *on_done;
	void *arg;
	struct resolved addresses;
	size_t next;           /* of the addresses, to be tried */
	int fd;                /* owned; -1 while none is being tried */
	struct event progress; /* the socket's, or a kick to try the first address */
	struct err err;        /* of the last address that failed */
};

static void try_next(struct connector *connector);

/* Hands over the outcome; the connector is gone afterwards. */
static void
finish(struct connector *connector, const char *name)
{
	connector_done_cb *on_done = connector->on_done;
	void *arg = connector->arg;
	int fd = connector->fd;
	struct err err = connector->err;

	connector->fd = -1;
	connector_cancel(connector);
	on_done(arg, fd, name, fd < 0 ? &err : NULL);
}

static void
close_attempt(struct connector *connector)
{
	(void)event_del(&connector->progress);
	if (connector->fd >= 0)
		(void)close(connector->fd);
	connector->fd = -1;
}

static const char *
current_name(const struct connector *connector, char *out, size_t size)
{
	size_t current = connector->next - 1;

	return socket_name(&connector->addresses.items[current].storage,
			   connector->addresses.items[current].length, out, size);
}

/* Why an address did not answer, and what it usually means. */
static void
explain(struct connector *connector, int error)
{
	char name[SOCKET_NAME_SIZE];
	const char *advice = "";

	if (error == ECONNREFUSED)
		advice = "; nothing listens there: is the port right?";
	else if (error == EMFILE || error == ENFILE)
		advice = "; raise LimitNOFILE or ulimit -n";
	(void)err_set_errno(&connector->err, error, "cannot connect to %s",
			    current_name(connector, name, sizeof name));
	size_t length = strlen(connector->err.text);
	(void)strncat(connector->err.text, advice, sizeof connector->err.text - length - 1);
}

static void
explain_timeout(struct connector *connector)
{
	char name[SOCKET_NAME_SIZE];

	(void)err_set(&connector->err,
		      "connecting to %s timed out after %d s (TIMEOUTconnect); does a firewall or "
		      "a security group let us through?",
		      current_name(connector, name, sizeof name), connector->request.timeout_s);
	(void)err_mark(&connector->err, ERR_TIMEOUT);
}

static void
on_progress(evutil_socket_t fd ATTR_UNUSED, short what, void *arg)
{
	struct connector *connector = arg;
	int error = 0;
	socklen_t size = sizeof error;

	if (connector->fd < 0) {
		try_next(connector); /* the kick */
		return;
	}
	if (what & EV_TIMEOUT) {
		explain_timeout(connector);
	} else if (getsockopt(connector->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
		   error == 0) {
		char name[SOCKET_NAME_SIZE];
		finish(connector, current_name(connector, name, sizeof name));
		return;
	} else {
		explain(connector, error);
	}
	close_attempt(connector);
	try_next(connector);
}

/* `local`: the source address, with any port, where it is of the same family. */
static bool
bind_source(struct connector *connector, int family)
{
	const struct resolved *source = connector->request.source;

	for (size_t i = 0; source != NULL && i < source->count; i++) {
		const struct sockaddr_storage *address = &source->items[i].storage;
		if (address->ss_family != family)
			continue;
		return bind(connector->fd, (const struct sockaddr *)address,
			    source->items[i].length) == 0;
	}
	return true;
}

/* Starts on the address at `connector->next - 1`; false, explained, if that failed at once. */
static bool
start_attempt(struct connector *connector)
{
	size_t current = connector->next - 1;
	const struct sockaddr_storage *address = &connector->addresses.items[current].storage;
	struct timeval timeout = {.tv_sec = connector->request.timeout_s};

	connector->fd = compat_socket(address->ss_family);
	if (connector->fd < 0) {
		explain(connector, errno);
		return false;
	}
	if (!socket_setup(connector->fd, address->ss_family, SOCKET_SIDE_REMOTE,
			  connector->request.socket_options, &connector->err))
		return false;
	if (!bind_source(connector, address->ss_family)) {
		(void)err_set_errno(&connector->err, errno,
				    "cannot connect from the address that 'local' gives");
		return false;
	}
	if (connect(connector->fd, (const struct sockaddr *)address,
		    connector->addresses.items[current].length) != 0 &&
	    errno != EINPROGRESS) {
		explain(connector, errno);
		return false;
	}
	(void)event_assign(&connector->progress, event_get_base(&connector->progress),
			   connector->fd, EV_WRITE, on_progress, connector);
	(void)event_add(&connector->progress, timeout.tv_sec > 0 ? &timeout : NULL);
	return true;
}

static void
try_next(struct connector *connector)
{
	while (connector->next < connector->addresses.count) {
		connector->next++;
		if (start_attempt(connector))
			return;
		close_attempt(connector);
	}
	finish(connector, NULL);
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
	connector->addresses = *request->addresses;
	connector->fd = -1;
	(void)event_assign(&connector->progress, request->base, -1, 0, on_progress, connector);
	event_active(&connector->progress, EV_TIMEOUT, 0);
	return connector;
}

void
connector_cancel(struct connector *connector)
{
	if (connector == NULL)
		return;
	close_attempt(connector);
	free(connector);
}
