#ifndef CACHETUNNEL_CONTROL_DOCTOR_WALK_H
#define CACHETUNNEL_CONTROL_DOCTOR_WALK_H

#include "tunnel/setup.h"

/*
 * Walks the ways to endpoints by the daemon's own means (resolver, connector, session pools, TLS)
 * and makes a finding of each step. It has a loop of its own and runs it; sessions to bastions are
 * kept from one walk to the next.
 */

struct doctor_report;
struct doctor_walker;

/* Both are borrowed. Returns owned; NULL with `err`. */
struct doctor_walker *doctor_walker_new(struct setup *setup, struct doctor_report *report,
					struct err *err);

void doctor_walker_free(struct doctor_walker *walker); /* NULL is fine */

/* Walks to one endpoint of a service, and asks there; returns when all findings are reported. */
void doctor_walk(struct doctor_walker *walker, size_t service_index, size_t endpoint_index);

#endif
