#include "control/doctor_listener.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/text.h"
#include "config/config.h"
#include "control/doctor_report.h"
#include "control/port_owner.h"
#include "tunnel/socket_setup.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char our_name[] = "cachetunnel";

static void
add(struct doctor_report *report, enum doctor_verdict verdict, uint64_t began_us, const char *text,
    const char *advice)
{
	const struct doctor_finding finding = {
		.layer = DOCTOR_LISTENER,
		.verdict = verdict,
		.title = "listener",
		.text = text,
		.advice = advice,
		.took_us = (int64_t)(clock_now_us() - began_us),
	};

	doctor_report_add(report, &finding);
}

/* The address is in use: by whom? A running cachetunnel is just what should be there. */
static void
add_owner(struct doctor_report *report, uint64_t began_us, const char *name,
	  const struct sockaddr_storage *address)
{
	char text[DOCTOR_TEXT_SIZE];
	struct port_owner owner;

	if (!port_owner_find(address, &owner)) {
		(void)snprintf(text, sizeof text, "%s is taken; this system does not tell by whom",
			       name);
		add(report, DOCTOR_FAILED, began_us, text,
		    "If that is no cachetunnel, stop it, or choose another port for accept.");
	} else if (owner.pid == 0) {
		(void)snprintf(text, sizeof text, "%s is taken, by a process of user number %lu",
			       name, (unsigned long)owner.user);
		add(report, DOCTOR_FAILED, began_us, text,
		    "As root, the doctor could say which process it is. If it is no cachetunnel, "
		    "stop it, or choose another port for accept.");
	} else if (strcmp(owner.name, our_name) == 0) {
		(void)snprintf(text, sizeof text, "%s: a running cachetunnel has it (process %ld)",
			       name, (long)owner.pid);
		add(report, DOCTOR_OK, began_us, text, NULL);
	} else {
		(void)snprintf(text, sizeof text, "%s is taken, by '%s' (process %ld)", name,
			       owner.name, (long)owner.pid);
		add(report, DOCTOR_FAILED, began_us, text,
		    "Clients would meet that program instead. Stop it, or choose another port for "
		    "accept.");
	}
}

/* Binds and lets go again. 0, or errno's value. */
static int
try_to_bind(const struct service *service, const struct addrinfo *address, struct err *err)
{
	int fd = compat_socket(address->ai_family);
	int on = 1;
	int error = 0;

	if (fd < 0)
		return errno;
	err->text[0] = '\0';
	if (!socket_setup(fd, address->ai_family, SOCKET_SIDE_ACCEPT, 0, &service->options.socket,
			  err))
		error = EINVAL;
	if (address->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (error == 0 && bind(fd, address->ai_addr, address->ai_addrlen) != 0)
		error = errno;
	(void)close(fd);
	return error;
}

static void
add_bind_failure(struct doctor_report *report, uint64_t began_us, const char *name, int error,
		 const struct err *err)
{
	char text[DOCTOR_TEXT_SIZE];

	if (error == EACCES) {
		(void)snprintf(text, sizeof text, "%s is a port that this user may not open", name);
		add(report, DOCTOR_NOTE, began_us, text,
		    "Ports below 1024 need root or CAP_NET_BIND_SERVICE; the daemon may have them.");
	} else if (error == EADDRNOTAVAIL) {
		(void)snprintf(text, sizeof text, "%s is no address of this machine", name);
		add(report, DOCTOR_FAILED, began_us, text,
		    "Write an address that it has (ip address shows them), or the port alone for "
		    "loopback.");
	} else {
		(void)snprintf(text, sizeof text, "cannot listen on %s: %s", name,
			       err->text[0] != '\0' ? err->text : strerror(error));
		add(report, DOCTOR_FAILED, began_us, text, NULL);
	}
}

static void
examine_inet(const struct service *service, const struct address *accept,
	     struct doctor_report *report)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	struct err err = {{0}};
	char name[SOCKET_NAME_SIZE];
	char text[DOCTOR_TEXT_SIZE];
	uint64_t began_us = clock_now_us();
	int worst = 0;
	bool is_free = false;

	(void)address_format(accept, name, sizeof name);
	bool is_loopback = text_equal_nocase(address_host(accept), "localhost");
	int failure = getaddrinfo(is_loopback ? NULL : accept->host, accept->port, &hints, &found);
	if (failure != 0) {
		(void)snprintf(text, sizeof text, "cannot look up accept = %s: %s", name,
			       gai_strerror(failure));
		add(report, DOCTOR_FAILED, began_us, text, NULL);
		return;
	}
	for (const struct addrinfo *item = found; item != NULL; item = item->ai_next) {
		int error = try_to_bind(service, item, &err);
		is_free = is_free || error == 0;
		worst = error != 0 ? error : worst;
		if (error != EADDRINUSE)
			continue;
		struct sockaddr_storage address = {0};
		memcpy(&address, item->ai_addr, item->ai_addrlen);
		add_owner(report, began_us, name, &address);
		freeaddrinfo(found);
		return;
	}
	freeaddrinfo(found);
	/* One that this machine cannot have is passed over while another one works. */
	if (is_free && (worst == 0 || worst == EADDRNOTAVAIL || worst == EAFNOSUPPORT)) {
		(void)snprintf(text, sizeof text, "%s is free", name);
		add(report, DOCTOR_OK, began_us, text, NULL);
	} else {
		add_bind_failure(report, began_us, name, worst, &err);
	}
}

static void
examine_unix(const struct address *accept, struct doctor_report *report)
{
	struct sockaddr_storage address;
	socklen_t length;
	struct stat status;
	struct err err;
	char text[DOCTOR_TEXT_SIZE];
	uint64_t began_us = clock_now_us();

	if (!socket_unix_address(accept->path, &address, &length, &err)) {
		add(report, DOCTOR_FAILED, began_us, err.text, NULL);
		return;
	}
	if (lstat(accept->path, &status) != 0) {
		(void)snprintf(text, sizeof text, "%s is free", accept->path);
		add(report, DOCTOR_OK, began_us, text, NULL);
		return;
	}
	if (!S_ISSOCK(status.st_mode)) {
		(void)snprintf(text, sizeof text, "%s is there, and is no socket", accept->path);
		add(report, DOCTOR_FAILED, began_us, text, "Move it away, or choose another path.");
		return;
	}
	int fd = compat_socket(AF_UNIX);
	bool is_refused = fd >= 0 && connect(fd, (const struct sockaddr *)&address, length) != 0 &&
			  errno == ECONNREFUSED;
	if (fd >= 0)
		(void)close(fd);
	if (is_refused) {
		(void)snprintf(text, sizeof text, "%s is left over, and will be replaced",
			       accept->path);
		add(report, DOCTOR_OK, began_us, text, NULL);
	} else {
		add_owner(report, began_us, accept->path, &address);
	}
}

void
doctor_examine_listeners(const struct service *service, struct doctor_report *report)
{
	const struct address_list *list = &service->options.accept;

	for (size_t i = 0; i < list->count; i++) {
		if (address_is_unix(&list->items[i]))
			examine_unix(&list->items[i], report);
		else
			examine_inet(service, &list->items[i], report);
	}
}
