#ifndef CACHETUNNEL_CONTROL_DOCTOR_DAEMON_H
#define CACHETUNNEL_CONTROL_DOCTOR_DAEMON_H

#include "config/config.h"

#include <jansson.h>

/*
 * What a running daemon knows that the doctor cannot find out by itself: where a service's tunnels
 * are, when its server moved last, and who waits. It is asked on its control socket; where there is
 * none, or none that answers, the doctor does without.
 */

struct doctor_report;

/* Asks the daemon that the configuration means. May block for a few seconds. Returns what it
 * answers to GET /status, owned; NULL when nobody does. */
json_t *doctor_daemon_ask(const struct config *config);

/* Adds what that says about the service; nothing if it has none of that name, or is NULL. */
void doctor_daemon_tell(const json_t *status, const struct service *service,
			struct doctor_report *report);

#endif
