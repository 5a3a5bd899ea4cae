#ifndef CACHETUNNEL_CONTROL_DOCTOR_REPORT_H
#define CACHETUNNEL_CONTROL_DOCTOR_REPORT_H

#include "base/attributes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the doctor has found, shown as it is found: lines for a person, aligned and coloured on a
 * terminal, or one JSON document at the end. It keeps no more than which layer failed first.
 */

struct address;
struct service;

/* Their numbers are the exit status, and stand in the manual: never change one. 2 is a wrong
 * command line. */
enum doctor_layer {
	DOCTOR_FILE = 1,
	DOCTOR_LISTENER = 3,
	DOCTOR_NAME = 4,
	DOCTOR_BASTION = 5, /* the way to it */
	DOCTOR_HOST_KEY = 6,
	DOCTOR_LOGIN = 7,
	DOCTOR_CHANNEL = 8,
	DOCTOR_CONNECT = 9,
	DOCTOR_TLS = 10,
	DOCTOR_REDIS = 11,
	DOCTOR_LAYER_END,
};

enum doctor_verdict {
	DOCTOR_OK,
	DOCTOR_NOTE, /* it works, and there is something to know */
	DOCTOR_FAILED,
};

enum { DOCTOR_TEXT_SIZE = 1024 };

struct doctor_finding {
	enum doctor_layer layer;
	enum doctor_verdict verdict;
	const char *title;  /* a word or two: "name", "bastion TCP" */
	const char *text;   /* what was found; it may hold anything, and is escaped when shown */
	const char *advice; /* the usual cause, and what to do; NULL: none */
	int64_t took_us;    /* -1: that is of no interest */
};

struct doctor_report;

/* What shows findings: doctor_text.c and doctor_json.c. */
struct doctor_writer {
	const struct doctor_writer_ops *ops;
};

struct doctor_writer_ops {
	void (*begin_service)(struct doctor_writer *writer, const struct service *service);
	void (*begin_endpoint)(struct doctor_writer *writer, const struct address *endpoint);
	void (*add)(struct doctor_writer *writer, const struct doctor_finding *finding);
	/* `status` is the exit status; `failed` of `count` services have a fault. */
	void (*finish)(struct doctor_writer *writer, int status, size_t failed, size_t count);
	void (*free)(struct doctor_writer *writer);
};

/* Return owned; on standard output. */
struct doctor_writer *doctor_text_new(void);
struct doctor_writer *doctor_json_new(void);

/* Takes the writer. Returns owned. */
struct doctor_report *doctor_report_new(struct doctor_writer *writer);
void doctor_report_free(struct doctor_report *report);

/* What follows is about this service, or this endpoint of it. */
void doctor_report_begin_service(struct doctor_report *report, const struct service *service);
void doctor_report_begin_endpoint(struct doctor_report *report, const struct address *endpoint);

void doctor_report_add(struct doctor_report *report, const struct doctor_finding *finding);

/* The last words. Returns the exit status: 0, or the layer that failed first. */
int doctor_report_finish(struct doctor_report *report);

/* "TCP" for DOCTOR_CONNECT, and so on. Static. */
const char *doctor_layer_name(enum doctor_layer layer);

#endif
