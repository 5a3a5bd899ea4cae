#ifndef CACHETUNNEL_BASE_COMPAT_H
#define CACHETUNNEL_BASE_COMPAT_H

#include "base/err.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/*
 * Everything that differs between systems, and the only place with conditional compilation.
 * Linux has all of it; elsewhere (developers run this on laptops) there is a fallback, or -1 for
 * an option that the system lacks.
 */

#ifdef SO_BINDTODEVICE
enum { COMPAT_SO_BINDTODEVICE = SO_BINDTODEVICE };
#else
enum { COMPAT_SO_BINDTODEVICE = -1 };
#endif

#ifdef IP_FREEBIND
enum { COMPAT_IP_FREEBIND = IP_FREEBIND };
#else
enum { COMPAT_IP_FREEBIND = -1 };
#endif

#if defined(TCP_KEEPIDLE)
enum { COMPAT_TCP_KEEPIDLE = TCP_KEEPIDLE };
#elif defined(TCP_KEEPALIVE) /* macOS's name for the same */
enum { COMPAT_TCP_KEEPIDLE = TCP_KEEPALIVE };
#else
enum { COMPAT_TCP_KEEPIDLE = -1 };
#endif

#ifdef TCP_KEEPINTVL
enum { COMPAT_TCP_KEEPINTVL = TCP_KEEPINTVL, COMPAT_TCP_KEEPCNT = TCP_KEEPCNT };
#else
enum { COMPAT_TCP_KEEPINTVL = -1, COMPAT_TCP_KEEPCNT = -1 };
#endif

/* Makes TCP give up a connection whose bytes nobody has acknowledged for so long; where the
 * system cannot, keepalive does it later. */
void compat_set_user_timeout(int fd, int timeout_s);

/* Acknowledges at once what has arrived, this time; harmless where the system cannot. */
void compat_acknowledge_now(int fd);

/* A new stream socket, non-blocking and closed on exec; -1 with errno set on failure. */
int compat_socket(int family);

/* Accepts one connection, non-blocking and closed on exec. `ret_peer` and `peer_length` as for
 * accept(). -1 with errno set on failure. */
int compat_accept(int listener, struct sockaddr_storage *ret_peer, socklen_t *peer_length);

/* Who is at the other end of a connected unix socket. */
struct compat_peer {
	uid_t user;
	pid_t pid; /* 0: the system does not tell */
};

/* False, with errno set, where that cannot be known. */
bool compat_peer_of(int fd, struct compat_peer *ret_peer) ATTR_MUST_CHECK;

/* A pipe, both ends non-blocking and closed on exec. False with errno set on failure. */
bool compat_pipe(int ret_ends[2]) ATTR_MUST_CHECK;

/* Two connected stream sockets, both non-blocking and closed on exec. False with errno set on
 * failure. */
bool compat_socket_pair(int ret_ends[2]) ATTR_MUST_CHECK;

/* Closes the descriptors from `first` on. For a child between fork() and exec: calls nothing
 * but what is safe there. Where the kernel cannot do it in one call, those above 65535 are left
 * to close-on-exec. */
void compat_close_from(int first);

/* When the file was last changed, as precisely as the system tells. */
struct timespec compat_modified(const struct stat *status);

/* Newer c-ares keeps answers by itself, for as long as they say; we do that, and for less. */
struct ares_options;
void compat_ares_switch_cache_off(struct ares_options *options, int *mask);

/* Microseconds on a clock that goes on while the machine sleeps, and that nobody sets, where the system
 * has one. For spans. */
uint64_t compat_elapsed_us(void);

/* For how long the machine has slept since it was started, in microseconds, or since any moment that
 * stays the same; 0 where the system does not tell. */
uint64_t compat_slept_us(void);

/* Makes a condition, and returns the clock that waits for it end by: one that nobody sets, where the
 * system can. */
clockid_t compat_condition_init(pthread_cond_t *condition);

/* How many processors are there for us; at least 1. */
int compat_processor_count(void);

/* Gives up supplementary groups, then switches group and user for good. */
bool compat_switch_user(uid_t user, gid_t group, struct err *err) ATTR_MUST_CHECK;

#endif
