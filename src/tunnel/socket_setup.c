#include "tunnel/socket_setup.h"

#include "base/compat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

/* A peer that vanished without a word (a laptop asleep, a firewall that forgot the flow) is
 * found out after idle + count * interval: two minutes. ElastiCache's networks forget idle flows
 * after 350 s at the earliest, so these probes also keep quiet tunnels alive. */
enum { KEEPALIVE_IDLE_S = 60, KEEPALIVE_INTERVAL_S = 15, KEEPALIVE_COUNT = 4 };

/* With TIMEOUTdead: a third of it without a byte, then a question each third. */
enum { DEAD_PARTS = 3 };

static void
set_number(int fd, int level, int option, int value)
{
	if (option >= 0)
		(void)setsockopt(fd, level, option, &value, sizeof value);
}

/* An accepted socket inherits all this from its listener, on Linux and on the BSDs, which saves
 * every client five system calls. */
static void
set_defaults(int fd, enum socket_side side, int dead_s)
{
	int part_s = dead_s > DEAD_PARTS ? dead_s / DEAD_PARTS : 1;

	if (side == SOCKET_SIDE_LOCAL)
		return;
	if (side == SOCKET_SIDE_ACCEPT)
		set_number(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set_number(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_number(fd, IPPROTO_TCP, COMPAT_TCP_KEEPIDLE, dead_s > 0 ? part_s : KEEPALIVE_IDLE_S);
	set_number(fd, IPPROTO_TCP, COMPAT_TCP_KEEPINTVL,
		   dead_s > 0 ? part_s : KEEPALIVE_INTERVAL_S);
	set_number(fd, IPPROTO_TCP, COMPAT_TCP_KEEPCNT,
		   dead_s > 0 ? DEAD_PARTS - 1 : KEEPALIVE_COUNT);
	if (dead_s > 0)
		compat_set_user_timeout(fd, dead_s);
}

bool
socket_setup(int fd, int family, enum socket_side side, int dead_s,
	     const struct socket_option_list *options, struct err *err)
{
	if (family == AF_UNIX)
		return true; /* the options are those of internet sockets */
	set_defaults(fd, side, dead_s);
	for (size_t i = 0; i < options->count; i++) {
		const struct socket_option *item = &options->items[i];
		if (item->side != side)
			continue;
		if (setsockopt(fd, item->level, item->option, item->value, (socklen_t)item->size) !=
		    0)
			return err_set_errno(err, errno, "cannot set socket option %s (%s:%u)",
					     item->name, item->at.file, item->at.line);
	}
	return true;
}

char *
socket_name(const struct sockaddr_storage *address, socklen_t length, char *out, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "?";
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;
	const struct sockaddr_un *local = (const void *)address;

	switch (address->ss_family) {
	case AF_INET:
		(void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
		(void)snprintf(out, size, "%s:%u", host, ntohs(v4->sin_port));
		break;
	case AF_INET6:
		(void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
		(void)snprintf(out, size, "[%s]:%u", host, ntohs(v6->sin6_port));
		break;
	default:
		if (length > offsetof(struct sockaddr_un, sun_path) && local->sun_path[0] != '\0')
			(void)snprintf(out, size, "%s", local->sun_path);
		else
			(void)snprintf(out, size, "unix socket");
		break;
	}
	return out;
}

bool
socket_unix_address(const char *path, struct sockaddr_storage *ret_address, socklen_t *ret_length,
		    struct err *err)
{
	struct sockaddr_un *local = (void *)ret_address;

	if (strlen(path) >= sizeof local->sun_path)
		return err_set(err, "the path '%s' is longer than a unix socket's may be (%zu)",
			       path, sizeof local->sun_path - 1);
	memset(ret_address, 0, sizeof *ret_address);
	local->sun_family = AF_UNIX;
	memcpy(local->sun_path, path, strlen(path) + 1);
	*ret_length = sizeof *local;
	return true;
}
