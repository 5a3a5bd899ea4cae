#define _GNU_SOURCE /* accept4(), pipe2(), setgroups() */

#include "base/compat.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <unistd.h>

#ifdef __linux__

int
compat_socket(int family)
{
	return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int
compat_accept(int listener, struct sockaddr_storage *ret_peer, socklen_t *peer_length)
{
	return accept4(listener, (struct sockaddr *)ret_peer, peer_length,
		       SOCK_NONBLOCK | SOCK_CLOEXEC);
}

bool
compat_pipe(int ret_ends[2])
{
	return pipe2(ret_ends, O_NONBLOCK | O_CLOEXEC) == 0;
}

#else

static bool
make_private_nonblocking(int fd)
{
	return fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static int
private_nonblocking_or_closed(int fd)
{
	if (fd >= 0 && !make_private_nonblocking(fd)) {
		int saved = errno;
		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int
compat_socket(int family)
{
	return private_nonblocking_or_closed(socket(family, SOCK_STREAM, 0));
}

int
compat_accept(int listener, struct sockaddr_storage *ret_peer, socklen_t *peer_length)
{
	return private_nonblocking_or_closed(
		accept(listener, (struct sockaddr *)ret_peer, peer_length));
}

bool
compat_pipe(int ret_ends[2])
{
	if (pipe(ret_ends) != 0)
		return false;
	if (make_private_nonblocking(ret_ends[0]) && make_private_nonblocking(ret_ends[1]))
		return true;
	(void)close(ret_ends[0]);
	(void)close(ret_ends[1]);
	return false;
}

#endif

int
compat_processor_count(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count < 1 ? 1 : (int)count;
}

bool
compat_switch_user(uid_t user, gid_t group, struct err *err)
{
	if (geteuid() == 0 && setgroups(1, &group) != 0)
		return err_set_errno(err, errno, "cannot give up supplementary groups");
	if (getegid() != group && setgid(group) != 0)
		return err_set_errno(err, errno, "cannot switch to group %ld", (long)group);
	if (geteuid() != user && setuid(user) != 0)
		return err_set_errno(err, errno, "cannot switch to user %ld", (long)user);
	return true;
}
