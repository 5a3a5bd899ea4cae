#include "control/resources.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct resources {
	int statm;        /* owned; -1: there is none */
	DIR *descriptors; /* owned; NULL: the same */
};

struct resources *
resources_open(void)
{
	struct resources *resources = calloc(1, sizeof *resources);

	if (resources == NULL)
		return NULL;
	resources->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	resources->descriptors = opendir("/proc/self/fd");
	return resources;
}

void
resources_close(struct resources *resources)
{
	if (resources == NULL)
		return;
	if (resources->statm >= 0)
		(void)close(resources->statm);
	if (resources->descriptors != NULL)
		(void)closedir(resources->descriptors);
	free(resources);
}

/* proc(5): total and resident pages first. */
static void
read_memory(int statm, struct resources_used *used)
{
	char text[128];
	long total;
	long resident;
	long page = sysconf(_SC_PAGESIZE);
	ssize_t length = statm >= 0 ? pread(statm, text, sizeof text - 1, 0) : -1;

	if (length <= 0)
		return;
	text[length] = '\0';
	char *end;
	total = strtol(text, &end, 10);
	resident = strtol(end, NULL, 10);
	used->virtual_bytes = (int64_t)total * page;
	used->resident_bytes = (int64_t)resident * page;
}

static void
count_descriptors(DIR *descriptors, struct resources_used *used)
{
	const struct dirent *entry;

	if (descriptors == NULL)
		return;
	rewinddir(descriptors);
	used->open_descriptors = 0;
	while ((entry = readdir(descriptors)) != NULL)
		used->open_descriptors += entry->d_name[0] != '.';
}

static double
seconds(const struct timeval *time)
{
	return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

void
resources_read(const struct resources *resources, struct resources_used *ret_used)
{
	struct rusage usage;
	struct rlimit limit;

	*ret_used = (struct resources_used){
		.max_descriptors = -1,
		.open_descriptors = -1,
		.resident_bytes = -1,
		.virtual_bytes = -1,
	};
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		ret_used->processor_s = seconds(&usage.ru_utime) + seconds(&usage.ru_stime);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT32_MAX)
		ret_used->max_descriptors = (int64_t)limit.rlim_cur;
	if (resources == NULL)
		return;
	read_memory(resources->statm, ret_used);
	count_descriptors(resources->descriptors, ret_used);
}
