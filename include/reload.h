#ifndef CACHETUNNEL_RELOAD_H
#define CACHETUNNEL_RELOAD_H

#include "base/err.h"
#include "config/report.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Reload: reads the file anew and serves by it, or changes nothing. Build and validate (in the
 * loader's thread), then switch. Whoever asks while a load is under way gets another one after it,
 * since it may have read the file before it was changed; however many ask, that is one.
 */

struct config;
struct inbox;
struct reach;
struct reload;
struct serving;

struct reload_request {
	struct serving *serving; /* borrowed, as all here */
	struct inbox *inbox;     /* the main thread's */
	const char *path;        /* of the file; NULL: it was read from a descriptor */
	/* Of the start: what cannot change while the daemon runs. */
	const struct config *in_force;
	const struct reach *granted; /* what the sandbox was made for; NULL: there is none */
};

/* It is over: served by the new file, or not, and `report` (borrowed) says why. Never called from
 * inside reload_start(). */
typedef void reload_done_cb(void *arg, bool is_applied, const struct report *report);

/* Returns owned. */
struct reload *reload_new(const struct reload_request *request);

/* Begins, and tells the log and the service manager. `on_done` may be NULL. False with `err`: it is
 * refused, and the callback will not come. */
bool reload_start(struct reload *reload, reload_done_cb *on_done, void *arg, struct err *err);

/* What has become of reloads so far. */
struct reload_tally {
	bool is_loading;
	unsigned count;
	unsigned failed;
	int64_t at_ms;             /* of the last one, since 1970; 0: none */
	char error[ERR_TEXT_SIZE]; /* why the last one changed nothing; empty: it did */
};
const struct reload_tally *reload_get_tally(const struct reload *reload);

/* No more reloads, because of `why` (static); one that is under way changes nothing. */
void reload_refuse(struct reload *reload, const char *why);

/* Ends what is under way; who waits is told so. Once nobody else posts to its inbox, and before
 * that goes. NULL is fine. */
void reload_free(struct reload *reload);

#endif
