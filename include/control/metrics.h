#ifndef CACHETUNNEL_CONTROL_METRICS_H
#define CACHETUNNEL_CONTROL_METRICS_H

#include "control/control.h"
#include "control/resources.h"
#include "control/survey.h"

#include <stdbool.h>
#include <stdint.h>

/* The counters for Prometheus and its kin: in its text format 0.0.4, or as OpenMetrics 1.0 for who
 * asks for that. Names and meanings are in cachetunnel(8), and are kept. */

struct evbuffer;

/* Whether the header `accept` (NULL: none) prefers OpenMetrics. */
bool metrics_wants_openmetrics(const char *accept);

/* Static: the Content-Type. */
const char *metrics_type(bool is_openmetrics);

/* Appends all of them. */
void metrics_write(const struct control_facts *facts, const struct survey_result *result,
		   const struct resources_used *used, bool is_openmetrics, struct evbuffer *out);

#endif
