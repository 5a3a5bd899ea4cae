/*
 * For LD_PRELOAD in tests: the first thread but the main one that waits for events while the file
 * $HANG_WHILE exists hangs there until it is gone.
 */

#define _GNU_SOURCE /* RTLD_NEXT, gettid() */

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

typedef int wait_function(int, struct epoll_event *, int, int);

static void
hang(void)
{
	static atomic_flag is_taken = ATOMIC_FLAG_INIT;
	const struct timespec moment = {.tv_nsec = 10000000};
	const char *path = getenv("HANG_WHILE");

	if (gettid() == getpid() || path == NULL || access(path, F_OK) != 0 ||
	    atomic_flag_test_and_set(&is_taken))
		return;
	while (access(path, F_OK) == 0)
		(void)nanosleep(&moment, NULL);
	atomic_flag_clear(&is_taken);
}

int
epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
	wait_function *real = (wait_function *)dlsym(RTLD_NEXT, "epoll_wait");

	hang();
	return real(fd, events, count, timeout);
}
