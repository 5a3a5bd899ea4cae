#include "control/control.h"

#include "base/compat.h"
#include "base/memory.h"
#include "control/answers.h"
#include "control/control_socket.h"
#include "control/http_server.h"
#include "tunnel/socket_setup.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATUS_BACKLOG = 128 };

/* A listening socket, from its opening to the server that it becomes. */
struct opened {
	int fd; /* owned; -1: handed over */
	bool is_local;
	struct http_server *server; /* owned; NULL: not started */
};

struct control {
	struct answers *answers;       /* owned */
	struct control_socket *socket; /* owned; NULL: none */
	struct opened *opened;         /* owned */
	size_t opened_count;
};

static void
add_opened(struct control *control, int fd, bool is_local)
{
	control->opened = memory_grow(control->opened, control->opened_count + 1,
				      sizeof *control->opened);
	control->opened[control->opened_count++] = (struct opened){.fd = fd, .is_local = is_local};
}

/* Two daemons of one user share a default, and the second one does without. */
static void
open_socket(struct control *control, const struct global_options *options, struct report *report)
{
	struct err err;

	if (control_socket_is_off(options->control))
		return;
	control->socket = control_socket_open(options, &err);
	if (control->socket != NULL)
		add_opened(control, -1, true);
	else
		report_add(report,
			   control_socket_is_auto(options->control) ? REPORT_NOTE : REPORT_ERROR,
			   (struct location){0}, "control = %s: %s", options->control, err.text);
}

static bool
listen_on(struct control *control, const struct addrinfo *item, struct err *err)
{
	int fd = compat_socket(item->ai_family);
	int on = 1;

	if (fd < 0)
		return err_set_errno(err, errno, "no socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, item->ai_addr, item->ai_addrlen) != 0 || listen(fd, STATUS_BACKLOG) != 0) {
		(void)err_set_errno(err, errno, "cannot listen there");
		(void)close(fd);
		return false;
	}
	add_opened(control, fd, false);
	return true;
}

/* One address of the name is enough: localhost may have one that this machine lacks. */
static void
open_status(struct control *control, const struct address *address, struct report *report)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char name[SOCKET_NAME_SIZE];
	struct err err;
	bool is_open = false;
	bool is_name = strcmp(address_host(address), "localhost") == 0;
	int failure = getaddrinfo(is_name ? NULL : address->host, address->port, &hints, &found);

	if (failure != 0)
		(void)err_set(&err, "%s", gai_strerror(failure));
	for (const struct addrinfo *item = found; item != NULL; item = item->ai_next)
		is_open = listen_on(control, item, &err) || is_open;
	if (found != NULL)
		freeaddrinfo(found);
	if (!is_open)
		report_add(report, REPORT_ERROR, address->at, "statusListen = %s: %s",
			   address_format(address, name, sizeof name), err.text);
}

struct control *
control_open(const struct global_options *options, struct report *report)
{
	size_t errors_before = report_count(report, REPORT_ERROR);
	struct control *control = memory_zero(sizeof *control);

	control->answers = answers_new();
	open_socket(control, options, report);
	for (size_t i = 0; i < options->status_listen.count; i++)
		open_status(control, &options->status_listen.items[i], report);
	if (report_count(report, REPORT_ERROR) == errors_before)
		return control;
	control_close(control);
	return NULL;
}

static bool
start_server(struct control *control, struct event_base *base, struct opened *opened)
{
	const struct http_server_settings settings = {
		.base = base,
		.fd = opened->is_local ? control_socket_take(control->socket) : opened->fd,
		.is_local = opened->is_local,
		.on_request = answers_on_request,
		.arg = control->answers,
	};

	opened->fd = -1;
	opened->server = http_server_start(&settings);
	return opened->server != NULL;
}

bool
control_start(struct control *control, struct event_base *base, struct inbox *inbox,
	      const struct control_host *host, struct err *err)
{
	if (!answers_start(control->answers, base, inbox, host, err))
		return false;
	for (size_t i = 0; i < control->opened_count; i++) {
		if (!start_server(control, base, &control->opened[i]))
			return err_set(err, "cannot serve the control socket: out of memory");
	}
	return true;
}

const char *
control_path(const struct control *control)
{
	return control->socket != NULL ? control_socket_path(control->socket) : NULL;
}

void
control_close(struct control *control)
{
	if (control == NULL)
		return;
	/* First, so that whoever sees a connection end finds no socket any more. */
	control_socket_close(control->socket);
	answers_free(control->answers);
	for (size_t i = 0; i < control->opened_count; i++) {
		http_server_close(control->opened[i].server);
		if (control->opened[i].fd >= 0)
			(void)close(control->opened[i].fd);
	}
	free(control->opened);
	free(control);
}
