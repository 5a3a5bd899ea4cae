#ifndef CACHETUNNEL_CONTROL_SURVEY_H
#define CACHETUNNEL_CONTROL_SURVEY_H

#include "tunnel/inquiry.h"

#include <stddef.h>

/*
 * Asks all workers how they are, and puts their answers together. One survey is under way at a
 * time, however many want one: who comes meanwhile waits for the next, which begins after they
 * came, and so tells at least what they know already. A worker that does not answer in time is
 * named, and nobody waits for it any longer.
 */

struct event_base;
struct inbox;
struct survey;
struct surveyor;
struct worker;

/* The outcome, borrowed for the call. */
struct survey_result {
	size_t answered; /* workers */
	size_t asked;
	const struct inquiry_service *services; /* by name, each once */
	size_t service_count;
	const struct tunnel_view *tunnels; /* the youngest first */
	size_t tunnel_count;
};

typedef void survey_done_cb(void *arg, const struct survey_result *result);

/* Whom to ask; called when a survey begins. */
typedef void survey_workers_cb(void *arg, struct worker *const **ret_workers, size_t *ret_count);

struct surveyor_settings {
	struct event_base *base; /* borrowed, both */
	struct inbox *inbox;
	survey_workers_cb *workers;
	void *arg;
	/* What each worker does before it answers (inquiry.h); NULL: nothing. */
	void (*begin)(struct inquiry *inquiry, struct worker *worker);
	int patience_ms; /* a worker is waited for */
	int interval_ms; /* from the end of one survey to the next */
};

/* Returns owned; NULL: no memory. */
struct surveyor *surveyor_new(const struct surveyor_settings *settings);

/* Nobody is told any more. Answers on their way find out by themselves. NULL is fine. */
void surveyor_free(struct surveyor *surveyor);

/* Has `on_done` called once, later. Returns a handle to cancel with; NULL: no memory. */
struct survey *survey_start(struct surveyor *surveyor, survey_done_cb *on_done, void *arg);
void survey_cancel(struct survey *survey); /* NULL is fine */

/* What was found about the service of this name; NULL: nothing. */
const struct inquiry_service *survey_find(const struct survey_result *result, const char *name);

#endif
