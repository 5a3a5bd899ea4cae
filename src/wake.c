#include "wake.h"

#include "base/attributes.h"
#include "base/compat.h"
#include "base/log.h"
#include "base/memory.h"
#include "serving.h"
#include "tunnel/worker.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

/* How often it is looked at, and what counts as sleep: less would not matter to anybody. */
static const struct timeval interval = {.tv_sec = 2};
static const uint64_t least_us = 2 * UINT64_C(1000000);

struct wake {
	struct serving *serving; /* borrowed */
	uint64_t slept_us;       /* since boot, when it was last looked at */
	struct event look;
};

static void
on_look(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct wake *wake = arg;
	uint64_t slept_us = compat_slept_us();
	uint64_t now_us = slept_us > wake->slept_us ? slept_us - wake->slept_us : 0;

	wake->slept_us = slept_us;
	if (now_us < least_us)
		return;
	log_write(&log_main, LOG_LEVEL_NOTICE,
		  "this machine has slept for %.0f s: names, endpoints and bastions are looked at "
		  "anew",
		  (double)now_us / 1e6);
	for (size_t i = 0; i < serving_worker_count(wake->serving); i++)
		worker_wake(serving_worker(wake->serving, i));
}

struct wake *
wake_start(struct serving *serving, struct event_base *base)
{
	struct wake *wake = memory_zero(sizeof *wake);

	wake->serving = serving;
	wake->slept_us = compat_slept_us();
	(void)event_assign(&wake->look, base, -1, EV_PERSIST, on_look, wake);
	(void)event_add(&wake->look, &interval);
	return wake;
}

void
wake_free(struct wake *wake)
{
	if (wake == NULL)
		return;
	(void)event_del(&wake->look);
	free(wake);
}
