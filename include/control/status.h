#ifndef CACHETUNNEL_CONTROL_STATUS_H
#define CACHETUNNEL_CONTROL_STATUS_H

#include "control/control.h"
#include "control/survey.h"

#include <stdint.h>

/*
 * What is told about the daemon, as JSON. cachetunnel(8) describes it; the page, the command
 * `status` and other people's programs read it, so that members are added, and never change their
 * meaning.
 */

struct evbuffer;

/* Appends the whole status to `out`. False: no memory. */
bool status_write(const struct control_facts *facts, const struct survey_result *result,
		  struct evbuffer *out);

/* Whether clients are accepted; and whether each service's endpoint answered when it was last
 * tried. */
bool status_is_listening(const struct control_facts *facts);
bool status_is_upstream_up(const struct control_facts *facts, const struct survey_result *result);

/* Appends, for /readyz?upstream=1, a line for each service. */
void status_write_upstream(const struct control_facts *facts, const struct survey_result *result,
			   struct evbuffer *out);

/* Static: "starting", "running", "reloading", "stopping". */
const char *status_phase_name(enum control_phase phase);

#endif
