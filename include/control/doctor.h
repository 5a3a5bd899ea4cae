#ifndef CACHETUNNEL_CONTROL_DOCTOR_H
#define CACHETUNNEL_CONTROL_DOCTOR_H

#include <stdbool.h>

/*
 * `cachetunnel doctor`: walks the way of each service by itself, without the daemon, and tells what
 * works and where it stops working.
 */

struct doctor_request {
	const char *path;            /* of the configuration */
	const char *const *services; /* names, the last one NULL; none: all of them */
	bool is_json;
};

/* Examines, printing on standard output. Returns the exit status: 0, or the layer that failed
 * first (control/doctor_report.h). */
int doctor_run(const struct doctor_request *request);

#endif
