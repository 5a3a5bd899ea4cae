#include "tunnel/listener.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/log.h"
#include "base/memory.h"
#include "tunnel/activation.h"
#include "tunnel/setup.h"
#include "tunnel/socket_setup.h"
#include "tunnel/unix_socket.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BACKLOG = 4096,      /* the kernel cuts it to what the system allows */
	ACCEPTS_A_TURN = 64, /* so that a storm does not starve signals */
	PAUSE_MS = 100,
};

struct accepting_socket {
	struct listener *listener;
	int fd;                          /* owned */
	struct sockaddr_storage address; /* where it listens */
	socklen_t length;
	char *unlink_path; /* owned; of a unix socket; else NULL */
	struct unix_socket_file file;
	bool is_visible;        /* the file, at the start: not from inside of another root */
	struct event *readable; /* owned; NULL before the start */

	/* The one that it is a duplicate of, and takes over from at the start; NULL: none. */
	struct accepting_socket *predecessor; /* borrowed */
};

struct listener {
	const struct service *service;    /* borrowed */
	struct accepting_socket *sockets; /* owned */
	size_t count;
	struct event *resume; /* owned; ends a pause */
	struct listener_state state;
	listener_client_cb *on_client;
	listener_room_cb *has_room;
	void *arg;
};

static bool
is_port_taken(int error)
{
	return error == EADDRINUSE || error == EACCES;
}

static void
report_bind(struct report *report, const struct address *address, const char *name, int error)
{
	struct err err;
	const char *advice = "";

	if (error == EADDRINUSE)
		advice = "; something else listens there: stop it, or choose another port";
	else if (error == EACCES)
		advice = "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
	else if (error == EADDRNOTAVAIL)
		advice = "; this machine does not have that address";
	(void)err_set_errno(&err, error, "cannot listen on %s", name);
	report_add(report, REPORT_ERROR, address->at, "%s%s", err.text, advice);
}

static struct accepting_socket *
add_socket(struct listener *listener, int fd, const struct sockaddr *address, socklen_t length,
	   const char *unlink_path)
{
	listener->sockets = memory_grow(listener->sockets, listener->count + 1,
					sizeof *listener->sockets);
	struct accepting_socket *socket = &listener->sockets[listener->count++];
	*socket = (struct accepting_socket){
		.listener = listener,
		.fd = fd,
		.length = length,
		.unlink_path = memory_copy_text(unlink_path),
	};
	memcpy(&socket->address, address, length);
	if (unlink_path != NULL)
		unix_socket_identify(unlink_path, &socket->file);
	return socket;
}

static struct accepting_socket *
find_socket(struct listener *listener, const struct sockaddr *address, socklen_t length)
{
	for (size_t i = 0; i < listener->count; i++) {
		struct accepting_socket *socket = &listener->sockets[i];
		if (socket->length == length && memcmp(&socket->address, address, length) == 0)
			return socket;
	}
	return NULL;
}

/* Whether clients do not find the socket any more, because somebody has removed its file. */
static bool
is_lost(const struct accepting_socket *socket)
{
	return socket->unlink_path != NULL && socket->is_visible &&
	       !unix_socket_is_in_place(socket->unlink_path, &socket->file);
}

/* Where one of the listeners before listens on this address already, the same socket goes on: the
 * kernel's queue of clients stays, and at no instant is one refused. */
static bool
keep_socket(struct listener *listener, const struct listeners *before,
	    const struct sockaddr *address, socklen_t length, const char *unlink_path)
{
	struct accepting_socket *found = NULL;

	for (size_t i = 0; i < before->count && found == NULL; i++)
		found = find_socket(before->items[i], address, length);
	int fd = found != NULL && !is_lost(found) ? fcntl(found->fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd < 0)
		return false;
	add_socket(listener, fd, address, length, unlink_path)->predecessor = found;
	return true;
}

/* Opens one socket. Returns errno's value, 0 when it listens. */
static int
open_socket(struct listener *listener, const struct sockaddr *address, socklen_t length,
	    struct err *err)
{
	int fd = compat_socket(address->sa_family);
	int error = 0;

	if (fd < 0)
		return errno;
	if (!socket_setup(fd, address->sa_family, SOCKET_SIDE_ACCEPT, 0,
			  &listener->service->options.socket, err)) {
		(void)close(fd);
		return EINVAL;
	}
	/* One wildcard for both families would take the port from an IPv4 listener of ours. */
	if (address->sa_family == AF_INET6) {
		int on = 1;
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	}
	if (bind(fd, address, length) != 0 || listen(fd, BACKLOG) != 0)
		error = errno;
	if (error != 0)
		(void)close(fd);
	else
		(void)add_socket(listener, fd, address, length, NULL);
	return error;
}

static void
open_unix(struct listener *listener, const struct address *address, const struct listeners *before,
	  struct report *report)
{
	const struct service_options *options = &listener->service->options;
	const struct unix_socket_access access = {
		.owner = options->setuid,
		.group = options->setgid,
		.mode = options->socket_mode,
	};
	struct sockaddr_storage storage;
	const struct sockaddr *local = (const struct sockaddr *)&storage;
	socklen_t length;
	struct err err;
	int fd = -1;

	if (socket_unix_address(address->path, &storage, &length, &err)) {
		if (keep_socket(listener, before, local, length, address->path))
			return;
		fd = unix_socket_listen(address->path, &access, BACKLOG, &err);
	}
	if (fd >= 0)
		(void)add_socket(listener, fd, local, length, address->path);
	else
		report_add(report, REPORT_ERROR, address->at, "%s", err.text);
}

/* Every address of the name is bound. One that this machine cannot have (IPv6 switched off) is
 * passed over while another one works; a port that is taken is an error always, because a client
 * would meet whoever took it. */
static void
open_inet(struct listener *listener, const struct address *address, const struct resolved *resolved,
	  const struct listeners *before, struct report *report)
{
	size_t count_before = listener->count;
	int last_error = 0;
	char name[SOCKET_NAME_SIZE];
	struct err err = {{0}};

	for (size_t i = 0; i < resolved->count; i++) {
		const struct sockaddr_storage *storage = &resolved->items[i].storage;
		socklen_t length = resolved->items[i].length;
		if (keep_socket(listener, before, (const struct sockaddr *)storage, length, NULL))
			continue;
		int error = open_socket(listener, (const struct sockaddr *)storage, length, &err);
		last_error = error != 0 ? error : last_error;
		if (!is_port_taken(error))
			continue;
		report_bind(report, address, socket_name(storage, length, name, sizeof name),
			    error);
		break;
	}
	if (listener->count > count_before || is_port_taken(last_error))
		return;
	if (err.text[0] != '\0')
		report_add(report, REPORT_ERROR, address->at, "%s", err.text);
	else
		report_bind(report, address, address_format(address, name, sizeof name),
			    last_error);
}

/* A socket that the service manager has opened goes on as it is, but for our options. */
static void
adopt_passed(struct listener *listener, int passed, struct report *report)
{
	const struct service *service = listener->service;
	struct sockaddr_storage storage = {0};
	socklen_t length = sizeof storage;
	struct err err = {{0}};
	int fd = activation_duplicate(passed, &err);

	if (fd >= 0 && getsockname(fd, (struct sockaddr *)&storage, &length) != 0)
		(void)err_set_errno(&err, errno, "cannot tell where descriptor %d listens", passed);
	else if (fd >= 0 && socket_setup(fd, storage.ss_family, SOCKET_SIDE_ACCEPT, 0,
					 &service->options.socket, &err)) {
		(void)add_socket(listener, fd, (const struct sockaddr *)&storage, length, NULL);
		return;
	}
	if (fd >= 0)
		(void)close(fd);
	report_add(report, REPORT_ERROR, service->at, "service '%.80s': %s", service->name,
		   err.text);
}

/* Returns whether there are any. */
static bool
adopt_all_passed(struct listener *listener, const struct activation *activation,
		 struct report *report)
{
	size_t count = 0;
	int fd;

	while ((fd = activation_find(activation, listener->service->name, count)) >= 0) {
		adopt_passed(listener, fd, report);
		count++;
	}
	return count > 0;
}

struct listener *
listener_open(const struct setup_service *service, const struct listeners *before,
	      const struct activation *activation, struct report *report)
{
	static const struct listeners none;
	size_t errors_before = report_count(report, REPORT_ERROR);
	struct listener *listener = memory_zero(sizeof *listener);
	const struct address_list *accepts = &service->service->options.accept;

	listener->service = service->service;
	before = before != NULL ? before : &none;
	bool is_passed = adopt_all_passed(listener, activation, report);
	for (size_t i = 0; i < accepts->count && !is_passed; i++) {
		const struct address *address = &accepts->items[i];
		if (address_is_unix(address))
			open_unix(listener, address, before, report);
		else
			open_inet(listener, address, &service->accepts[i], before, report);
	}
	if (report_count(report, REPORT_ERROR) == errors_before)
		return listener;
	listener_close(listener);
	return NULL;
}

static void
set_accepting(struct listener *listener, bool is_accepting)
{
	for (size_t i = 0; i < listener->count; i++) {
		if (is_accepting)
			(void)event_add(listener->sockets[i].readable, NULL);
		else
			(void)event_del(listener->sockets[i].readable);
	}
}

/* Out of descriptors, or of memory: clients wait in the kernel's queue until there is some again.
 * Trying at once, over and over, is what must not happen. */
static void
pause_accepting(struct listener *listener, const char *why, const char *advice)
{
	struct timeval pause = {.tv_usec = PAUSE_MS * 1000};

	if (!listener->state.is_paused)
		log_write(&log_main, LOG_LEVEL_WARNING, "Service [%s]: accepting is paused: %s; %s",
			  listener->service->name, why, advice);
	if (!listener->state.is_paused)
		listener->state.paused_ms = clock_wall_ms();
	(void)snprintf(listener->state.pause_reason, sizeof listener->state.pause_reason, "%s",
		       why);
	listener->state.is_paused = true;
	set_accepting(listener, false);
	(void)event_add(listener->resume, &pause);
}

static void
note_accepting_again(struct listener *listener)
{
	if (!listener->state.is_paused)
		return;
	listener->state.is_paused = false;
	log_write(&log_main, LOG_LEVEL_NOTICE, "Service [%s]: accepting again",
		  listener->service->name);
}

/* `allowUser`: the kernel knows who connected to a unix socket. */
static bool
is_allowed(const struct service *service, int fd)
{
	const struct user_list *allowed = &service->options.allow_user;
	const struct log_facts facts = {.service = service->name};
	struct compat_peer peer = {0};
	char gist[LOG_TEXT_SIZE];

	if (allowed->count == 0)
		return true;
	if (!compat_peer_of(fd, &peer)) {
		(void)snprintf(gist, sizeof gist,
			       "Service [%s]: a client was turned away: the system does not tell "
			       "who it is, and allowUser wants to know: %s",
			       service->name, strerror(errno));
		log_write_repeatable(&log_main, LOG_LEVEL_WARNING, &facts, gist, "%s", gist);
		return false;
	}
	if (user_list_has(allowed, peer.user))
		return true;
	/* A client that tries again and again is a process each time, as a rule. */
	(void)snprintf(gist, sizeof gist,
		       "Service [%s]: a client was turned away: user %ld is not among allowUser",
		       service->name, (long)peer.user);
	log_write_repeatable(&log_main, LOG_LEVEL_WARNING, &facts, gist,
			     "Service [%s]: a client was turned away: user %ld (process %ld) is "
			     "not among allowUser",
			     service->name, (long)peer.user, (long)peer.pid);
	return false;
}

static const char descriptors_advice[] = "raise LimitNOFILE or ulimit -n, or set maxClients";

/* What accept() fails with while something has run out; NULL: with something else. */
static const char *
find_advice(int error)
{
	switch (error) {
	case EMFILE:
		return descriptors_advice;
	case ENFILE:
		return "all processes together have too many files open: raise fs.file-max";
	case ENOBUFS:
	case ENOMEM:
		return "this machine is short of memory";
	default:
		return NULL;
	}
}

/* Accepts one client. False when there is none now. */
static bool
accept_one(struct accepting_socket *socket)
{
	struct listener *listener = socket->listener;
	struct sockaddr_storage peer = {0};
	socklen_t peer_length = sizeof peer;

	if (!listener->has_room(listener->arg)) {
		pause_accepting(listener, "there are as many clients as descriptors allow",
				descriptors_advice);
		return false;
	}
	int fd = compat_accept(socket->fd, &peer, &peer_length);
	if (fd < 0) {
		int error = errno;
		const char *advice = find_advice(error);
		if (advice != NULL)
			pause_accepting(listener, strerror(error), advice);
		else if (error == EAGAIN || error == EWOULDBLOCK)
			note_accepting_again(listener); /* nobody waits, but there is room */
		/* Else the client left before we came to it, as a rule. */
		return error == ECONNABORTED || error == EINTR;
	}
	note_accepting_again(listener);
	if (is_allowed(listener->service, fd))
		listener->on_client(listener->arg, listener->service, fd, &peer, peer_length);
	else
		(void)close(fd);
	return true;
}

static void
on_readable(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	for (int i = 0; i < ACCEPTS_A_TURN && accept_one(arg); i++)
		continue;
}

/* Looks whether there is room again, also where nobody waits: no event would tell. */
static void
on_resume(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct listener *listener = arg;

	set_accepting(listener, true);
	for (size_t i = 0; i < listener->count; i++) {
		if (!accept_one(&listener->sockets[i]) && listener->state.is_paused)
			return;
	}
}

bool
listener_start(struct listener *listener, struct event_base *base, listener_client_cb *on_client,
	       listener_room_cb *has_room, void *arg)
{
	listener->on_client = on_client;
	listener->has_room = has_room;
	listener->arg = arg;
	listener->resume = event_new(base, -1, 0, on_resume, listener);
	if (listener->resume == NULL)
		return false;
	for (size_t i = 0; i < listener->count; i++) {
		struct accepting_socket *socket = &listener->sockets[i];
		socket->readable = event_new(base, socket->fd, EV_READ | EV_PERSIST, on_readable,
					     socket);
		socket->is_visible = socket->unlink_path != NULL &&
				     unix_socket_is_in_place(socket->unlink_path, &socket->file);
		if (socket->readable == NULL || event_add(socket->readable, NULL) != 0)
			return false;
	}
	return true;
}

/* `socket = a:…` may say something else now. */
static void
apply_options(const struct listener *listener, const struct accepting_socket *socket)
{
	struct err err;

	if (!socket_setup(socket->fd, socket->address.ss_family, SOCKET_SIDE_ACCEPT, 0,
			  &listener->service->options.socket, &err))
		log_write(&log_main, LOG_LEVEL_WARNING, "Service [%s]: %s", listener->service->name,
			  err.text);
}

void
listener_take_over(struct listener *listener)
{
	for (size_t i = 0; i < listener->count; i++) {
		struct accepting_socket *socket = &listener->sockets[i];
		if (socket->predecessor == NULL)
			continue;
		apply_options(listener, socket);
		/* The file is ours to remove from now on. */
		free(socket->predecessor->unlink_path);
		socket->predecessor->unlink_path = NULL;
		socket->predecessor = NULL;
	}
}

const struct listener_state *
listener_get_state(const struct listener *listener)
{
	return &listener->state;
}

void
listener_close(struct listener *listener)
{
	if (listener == NULL)
		return;
	if (listener->resume != NULL)
		event_free(listener->resume);
	for (size_t i = 0; i < listener->count; i++) {
		struct accepting_socket *socket = &listener->sockets[i];
		if (socket->readable != NULL)
			event_free(socket->readable);
		/* A duplicate that has not taken over leaves the file to the other. */
		bool is_ours = socket->unlink_path != NULL && socket->predecessor == NULL &&
			       !is_lost(socket);
		(void)close(socket->fd);
		if (is_ours)
			(void)unlink(socket->unlink_path);
		free(socket->unlink_path);
	}
	free(listener->sockets);
	free(listener);
}
