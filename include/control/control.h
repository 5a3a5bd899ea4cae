#ifndef CACHETUNNEL_CONTROL_CONTROL_H
#define CACHETUNNEL_CONTROL_CONTROL_H

#include "config/options.h"
#include "config/report.h"
#include "tunnel/setup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the daemon tells about itself and takes orders by: HTTP on a unix socket for its owner, and,
 * where asked for, on loopback for anybody on this machine, read-only. In the main thread. It
 * changes nothing by itself: what it tells and does comes through the callbacks that it is given.
 */

struct control;
struct event_base;
struct inbox;
struct listener;
struct worker;

enum control_phase {
	CONTROL_STARTING,
	CONTROL_RUNNING,
	CONTROL_RELOADING, /* a new configuration is being read; the old one serves */
	CONTROL_STOPPING,  /* nobody is accepted; what is open may end */
};

/* What there is to tell. All borrowed, for the call. */
struct control_facts {
	enum control_phase phase;
	struct setup *setup;
	struct worker *const *workers;
	size_t worker_count;
	struct listener *const *listeners; /* one for each service; NULL: none */
	const char *confinement;           /* what is in force, in a few words; NULL: nothing */
	/* Reloads since the start, and the last one. */
	unsigned reloads;
	unsigned reloads_failed;
	int64_t reloaded_ms;      /* since 1970; 0: none */
	const char *reload_error; /* NULL: it went well */
	/* When it was started, since 1970, and for how long it has run, sleep included; no host need
	 * say these. */
	int64_t started_ms;
	uint64_t uptime_us;
};

/* The reload is over; `report` (borrowed) has what was found. */
typedef void control_reloaded_cb(void *arg, bool is_applied, const struct report *report);

struct control_host {
	void (*describe)(void *arg, struct control_facts *ret_facts);
	/* Reads the configuration anew, and calls `on_done` once, now or later. False with `err`
	 * when that is not possible now; then it is not called. */
	bool (*reload)(void *arg, control_reloaded_cb *on_done, void *on_done_arg, struct err *err);
	/* Stops in order, after this turn of the loop. */
	void (*stop)(void *arg);
	void *arg;
};

/* Opens what `options` (borrowed until control_start()) ask for, with the errors in `report`. With
 * control = auto, a socket that cannot be had is a note. Before privileges are given up and before
 * the process detaches. Returns owned; NULL with errors. */
struct control *control_open(const struct global_options *options, struct report *report);

/* Begins to serve in `base`. Answers of workers come through `inbox` (borrowed), which must outlive
 * them. `host` is copied. */
bool control_start(struct control *control, struct event_base *base, struct inbox *inbox,
		   const struct control_host *host, struct err *err) ATTR_MUST_CHECK;

/* Where its unix socket is, borrowed; NULL: it has none. */
const char *control_path(const struct control *control);

/* Answers what is open, closes, and removes the socket. While the workers and the inbox still
 * live, or after both. NULL is fine. */
void control_close(struct control *control);

#endif
