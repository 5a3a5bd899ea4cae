#ifndef CACHETUNNEL_CONTROL_DOCTOR_STEPS_H
#define CACHETUNNEL_CONTROL_DOCTOR_STEPS_H

#include "control/doctor_report.h"

/*
 * What a step that went well, and what a server said of itself, mean in words. A verdict of
 * DOCTOR_NOTE comes with advice; else `advice` is left empty.
 */

struct redis_facts;
struct service;
struct step;

enum doctor_layer doctor_step_layer(const struct step *step);
const char *doctor_step_title(const struct step *step); /* static */

enum doctor_verdict doctor_step_describe(const struct step *step, const struct service *service,
					 char *text, size_t size, char *advice, size_t advice_size);

/* The answer to PING, and then the rest. */
enum doctor_verdict doctor_facts_describe_ping(const struct redis_facts *facts, char *text,
					       size_t size, char *advice, size_t advice_size);
enum doctor_verdict doctor_facts_describe_server(const struct redis_facts *facts, char *text,
						 size_t size, char *advice, size_t advice_size);

#endif
