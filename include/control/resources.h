#ifndef CACHETUNNEL_CONTROL_RESOURCES_H
#define CACHETUNNEL_CONTROL_RESOURCES_H

#include <stdint.h>

/* What this process uses of the system. Memory and descriptors are known where there is /proc; it
 * is opened once, so that neither chroot nor a sandbox makes a difference later. */

struct resources;

struct resources_used {
	double processor_s;
	int64_t max_descriptors; /* -1, here and below: not known */
	int64_t open_descriptors;
	int64_t resident_bytes;
	int64_t virtual_bytes;
};

/* After the process has detached. Returns owned; NULL: no memory. */
struct resources *resources_open(void);
void resources_close(struct resources *resources); /* NULL is fine */

void resources_read(const struct resources *resources, struct resources_used *ret_used);

#endif
