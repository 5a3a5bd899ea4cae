#ifndef CACHETUNNEL_CONTROL_DOCTOR_LISTENER_H
#define CACHETUNNEL_CONTROL_DOCTOR_LISTENER_H

/*
 * Whether a service's ports could be listened on, or who does: free, a running cachetunnel's, or
 * taken. It binds without listening, so no client meets it.
 */

struct doctor_report;
struct service;

/* A finding for each `accept` of the service. May block for as long as looking up a name does. */
void doctor_examine_listeners(const struct service *service, struct doctor_report *report);

#endif
