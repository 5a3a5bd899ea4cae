#include "tunnel/activation.h"

#include "base/memory.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	FIRST_DESCRIPTOR = 3, /* SD_LISTEN_FDS_START */
	MAX_SOCKETS = 1024,   /* more than anybody has, so that a wrong number is no loop */
};

struct passed_socket {
	int fd;        /* owned */
	char *name;    /* owned; as the service manager calls it; NULL: no name */
	char *service; /* owned; whose it is; NULL: not assigned */
};

struct activation {
	struct passed_socket *sockets; /* owned */
	size_t count;
};

/* How many there are for this very process; 0: none. */
static size_t
count_passed(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *count = getenv("LISTEN_FDS");
	long number = 0;

	if (pid == NULL || count == NULL || !text_to_long(pid, 1, LONG_MAX, &number) ||
	    number != (long)getpid() || !text_to_long(count, 1, MAX_SOCKETS, &number))
		return 0;
	return (size_t)number;
}

struct activation *
activation_take(void)
{
	size_t count = count_passed();
	const char *names = getenv("LISTEN_FDNAMES"); /* separated by colons */
	struct activation *activation = NULL;

	if (count > 0) {
		activation = memory_zero(sizeof *activation);
		activation->sockets = memory_zero(count * sizeof *activation->sockets);
		activation->count = count;
	}
	for (size_t i = 0; i < count; i++) {
		struct passed_socket *passed = &activation->sockets[i];
		passed->fd = FIRST_DESCRIPTOR + (int)i;
		(void)fcntl(passed->fd, F_SETFD, FD_CLOEXEC);
		if (names == NULL)
			continue;
		size_t length = strcspn(names, ":");
		passed->name = memory_format("%.*s", (int)length, names);
		names = names[length] == ':' ? names + length + 1 : NULL;
	}
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return activation;
}

void
activation_free(struct activation *activation)
{
	if (activation == NULL)
		return;
	for (size_t i = 0; i < activation->count; i++) {
		struct passed_socket *passed = &activation->sockets[i];
		(void)close(passed->fd);
		free(passed->name);
		free(passed->service);
	}
	free(activation->sockets);
	free(activation);
}

static bool
has_service(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->service_count; i++) {
		if (name != NULL && strcmp(config->services[i]->name, name) == 0)
			return true;
	}
	return false;
}

static bool
are_named(const struct activation *activation, const struct config *config)
{
	for (size_t i = 0; i < activation->count; i++) {
		if (has_service(config, activation->sockets[i].name))
			return true;
	}
	return false;
}

bool
activation_assign(struct activation *activation, const struct config *config, struct err *err)
{
	bool is_by_name = are_named(activation, config);

	for (size_t i = 0; i < activation->count; i++) {
		struct passed_socket *passed = &activation->sockets[i];
		const char *service = passed->name;
		if (!is_by_name)
			service = i < config->service_count ? config->services[i]->name : NULL;
		else if (!has_service(config, service))
			return err_set(err,
				       "the service manager passed a socket named '%s', and no "
				       "service has that name: FileDescriptorName= is to be the "
				       "section's",
				       service != NULL ? service : "");
		if (service == NULL)
			return err_set(err,
				       "the service manager passed %zu socket(s), which is more "
				       "than there are services; give each a FileDescriptorName= "
				       "that is its section's",
				       activation->count);
		passed->service = memory_copy_text(service);
	}
	return true;
}

int
activation_duplicate(int passed, struct err *err)
{
	int is_listening = 0;
	socklen_t length = sizeof is_listening;

	if (getsockopt(passed, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &length) != 0 ||
	    !is_listening) {
		(void)err_set(err,
			      "what the service manager passed as descriptor %d is no "
			      "listening socket: is it Accept=no, and ListenStream=?",
			      passed);
		return -1;
	}
	int fd = fcntl(passed, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
		return fd;
	(void)err_set_errno(err, errno, "cannot use descriptor %d of the service manager", passed);
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

int
activation_find(const struct activation *activation, const char *service, size_t nth)
{
	for (size_t i = 0; activation != NULL && i < activation->count; i++) {
		const struct passed_socket *passed = &activation->sockets[i];
		if (passed->service != NULL && strcmp(passed->service, service) == 0 && nth-- == 0)
			return passed->fd;
	}
	return -1;
}
