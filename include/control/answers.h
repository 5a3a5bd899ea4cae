#ifndef CACHETUNNEL_CONTROL_ANSWERS_H
#define CACHETUNNEL_CONTROL_ANSWERS_H

#include "base/err.h"

#include <stdbool.h>

/*
 * What can be asked of the daemon over HTTP, and what it says and does then: each path, and what
 * waits until workers have been asked, or a reload is over. How requests come is control.c's
 * business. In the main thread.
 */

struct answers;
struct control_host;
struct event_base;
struct http_exchange;
struct inbox;

/* Returns owned. The daemon's uptime is from here. */
struct answers *answers_new(void);

/* Before the first request. Answers of workers come through `inbox` (borrowed), which must outlive
 * them. `host` is copied. */
bool answers_start(struct answers *answers, struct event_base *base, struct inbox *inbox,
		   const struct control_host *host, struct err *err) ATTR_MUST_CHECK;

/* An http_request_cb; `arg` is the struct answers. */
void answers_on_request(void *arg, struct http_exchange *exchange);

/* Forgets what waits; the servers answer that, and nobody asks any more. NULL is fine. */
void answers_free(struct answers *answers);

#endif
