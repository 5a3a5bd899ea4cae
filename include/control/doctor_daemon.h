#ifndef CACHETUNNEL_CONTROL_DOCTOR_DAEMON_H
#define CACHETUNNEL_CONTROL_DOCTOR_DAEMON_H

#include "config/config.h"

/*
 * What a running daemon knows that the doctor cannot find out by itself: where a service's tunnels
 * are, when its server moved last, and who waits. It is asked on its control socket; where there is
 * none, or none that answers, the doctor does without.
 */

struct doctor_daemon;
struct doctor_report;

/* Asks the daemon that the configuration means. May block for a few seconds. Returns owned; NULL
 * when nobody answers. */
struct doctor_daemon *doctor_daemon_ask(const struct config *config);

/* Adds what it says about the service; nothing if it has none of that name. NULL is fine. */
void doctor_daemon_tell(const struct doctor_daemon *daemon, const struct service *service,
			struct doctor_report *report);

/* NULL is fine. */
void doctor_daemon_free(struct doctor_daemon *daemon);

#endif
