#define _GNU_SOURCE /* accept4(), pipe2(), setgroups(), struct ucred, syscall() */

#include "base/compat.h"

#include <ares.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/syscall.h>
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

bool
compat_socket_pair(int ret_ends[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_ends) == 0;
}

bool
compat_peer_of(int fd, struct compat_peer *ret_peer)
{
	struct ucred credentials;
	socklen_t size = sizeof credentials;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
		return false;
	*ret_peer = (struct compat_peer){.user = credentials.uid, .pid = credentials.pid};
	return true;
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

static bool
private_nonblocking_or_none(const int ends[2])
{
	if (make_private_nonblocking(ends[0]) && make_private_nonblocking(ends[1]))
		return true;
	int saved = errno;
	(void)close(ends[0]);
	(void)close(ends[1]);
	errno = saved;
	return false;
}

bool
compat_pipe(int ret_ends[2])
{
	return pipe(ret_ends) == 0 && private_nonblocking_or_none(ret_ends);
}

bool
compat_socket_pair(int ret_ends[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM, 0, ret_ends) == 0 &&
	       private_nonblocking_or_none(ret_ends);
}

bool
compat_peer_of(int fd, struct compat_peer *ret_peer)
{
	gid_t ignored;

	*ret_peer = (struct compat_peer){0};
	return getpeereid(fd, &ret_peer->user, &ignored) == 0;
}

#endif

#ifdef SYS_close_range

/* The call is there since Linux 5.9, and its wrapper since glibc 2.34 only. */
static bool
close_range_from(int first)
{
	return syscall(SYS_close_range, (unsigned)first, ~0U, 0) == 0;
}

#else

static bool
close_range_from(int first ATTR_UNUSED)
{
	return false;
}

#endif

void
compat_close_from(int first)
{
	enum { MOST = 65536 };
	struct rlimit limit;

	if (close_range_from(first))
		return;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > MOST)
		limit.rlim_cur = MOST;
	for (int fd = first; fd < (int)limit.rlim_cur; fd++)
		(void)close(fd);
}

void
compat_set_user_timeout(int fd, int timeout_s)
{
#ifdef TCP_USER_TIMEOUT
	unsigned timeout_ms = (unsigned)timeout_s * 1000;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
#else
	(void)fd;
	(void)timeout_s;
#endif
}

void
compat_acknowledge_now(int fd)
{
#ifdef TCP_QUICKACK
	int on = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
#else
	(void)fd;
#endif
}

struct timespec
compat_modified(const struct stat *status)
{
#ifdef __APPLE__
	return status->st_mtimespec;
#else
	return status->st_mtim;
#endif
}

void
compat_ares_switch_cache_off(struct ares_options *options, int *mask)
{
#ifdef ARES_OPT_QUERY_CACHE
	options->qcache_max_ttl = 0;
	*mask |= ARES_OPT_QUERY_CACHE;
#else
	(void)options;
	(void)mask;
#endif
}

#if defined(CLOCK_BOOTTIME)
enum { CLOCK_THAT_SLEEPS = CLOCK_MONOTONIC, CLOCK_THAT_GOES_ON = CLOCK_BOOTTIME };
#elif defined(CLOCK_UPTIME_RAW) /* macOS: there the monotonic clock is the one that goes on */
enum { CLOCK_THAT_SLEEPS = CLOCK_UPTIME_RAW, CLOCK_THAT_GOES_ON = CLOCK_MONOTONIC };
#else /* the wall clock goes on, too, but may be set as well: then all is looked at in vain */
enum { CLOCK_THAT_SLEEPS = CLOCK_MONOTONIC, CLOCK_THAT_GOES_ON = CLOCK_REALTIME };
#endif

static uint64_t
read_clock_us(clockid_t clock)
{
	struct timespec now = {0};

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t
compat_elapsed_us(void)
{
	return read_clock_us((clockid_t)CLOCK_THAT_GOES_ON);
}

uint64_t
compat_slept_us(void)
{
	uint64_t awake_us = read_clock_us((clockid_t)CLOCK_THAT_SLEEPS);

	return compat_elapsed_us() - awake_us;
}

clockid_t
compat_condition_init(pthread_cond_t *condition)
{
#if defined(_POSIX_CLOCK_SELECTION) && _POSIX_CLOCK_SELECTION > 0
	pthread_condattr_t attributes;
	bool is_steady;

	if (pthread_condattr_init(&attributes) == 0) {
		is_steady = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
			    pthread_cond_init(condition, &attributes) == 0;
		(void)pthread_condattr_destroy(&attributes);
		if (is_steady)
			return CLOCK_MONOTONIC;
	}
#endif
	(void)pthread_cond_init(condition, NULL);
	return CLOCK_REALTIME;
}

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
