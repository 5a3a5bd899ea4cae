/*
 * For LD_PRELOAD in tests: the machine seems to have slept for an hour once the file $SLEPT_IF is
 * there. The clock that goes on in sleep is an hour ahead from then on.
 */

#define _GNU_SOURCE /* RTLD_NEXT */

#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef int read_function(clockid_t, struct timespec *);

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	read_function *real = (read_function *)dlsym(RTLD_NEXT, "clock_gettime");
	const char *path = getenv("SLEPT_IF");
	int result = real(clock, now);

	if (clock == CLOCK_BOOTTIME && path != NULL && access(path, F_OK) == 0)
		now->tv_sec += 3600;
	return result;
}
