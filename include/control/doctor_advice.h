#ifndef CACHETUNNEL_CONTROL_DOCTOR_ADVICE_H
#define CACHETUNNEL_CONTROL_DOCTOR_ADVICE_H

#include "base/err.h"
#include "control/doctor_report.h"

/*
 * Which of the usual causes fits a failure, and what to do about it. Words only: it looks at
 * nothing but what it is handed.
 */

struct address;
struct bastion;
struct resolved;
struct service;
struct tls_certificate;

struct doctor_case {
	enum doctor_layer layer;
	enum err_kind kind;
	const struct service *service;
	const struct bastion *bastion;    /* on whose way it failed, or through which; NULL: none */
	const struct address *endpoint;   /* of the service */
	const struct resolved *addresses; /* of the name that was looked up last; NULL: none was */
	const struct tls_certificate *certificate; /* that the server showed; NULL: none */
};

/* Writes the advice into `out`. Returns it, or NULL where the failure's own text says all. */
const char *doctor_advise(const struct doctor_case *what, char *out, size_t size);

#endif
