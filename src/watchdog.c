#include "watchdog.h"

#include "base/attributes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "notify.h"
#include "serving.h"
#include "tunnel/inbox.h"
#include "tunnel/worker.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* Goes to a worker and comes back. */
struct ping {
	struct message message; /* first, so that the two can be cast */
	struct watchdog *watchdog;
};

struct watchdog {
	struct serving *serving; /* borrowed */
	struct inbox *inbox;     /* borrowed */
	struct event round;      /* asks anew */
	size_t unanswered;       /* pings that are still with a worker */
	struct ping pings[];     /* one for each worker */
};

uint64_t
watchdog_interval_us(void)
{
	const char *interval = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	long number = 0;

	if (pid != NULL && (!text_to_long(pid, 1, LONG_MAX, &number) || number != (long)getpid()))
		return 0;
	if (interval == NULL || !text_to_long(interval, 1, LONG_MAX, &number))
		return 0;
	return (uint64_t)number;
}

static void
receive_answer(struct message *message, void *receiver ATTR_UNUSED)
{
	struct watchdog *watchdog = ((struct ping *)(void *)message)->watchdog;

	if (--watchdog->unanswered == 0)
		notify_alive();
}

static void
receive_ping(struct message *message, void *receiver ATTR_UNUSED)
{
	message->receive = receive_answer;
	inbox_post(((struct ping *)(void *)message)->watchdog->inbox, message);
}

static void
on_round(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct watchdog *watchdog = arg;
	size_t count = serving_worker_count(watchdog->serving);

	if (watchdog->unanswered > 0) {
		log_write(&log_main, LOG_LEVEL_WARNING,
			  "%zu of %zu worker(s) have not answered yet: the service manager is not "
			  "told that all is well",
			  watchdog->unanswered, count);
		return;
	}
	watchdog->unanswered = count;
	for (size_t i = 0; i < count; i++) {
		watchdog->pings[i].message.receive = receive_ping;
		worker_post(serving_worker(watchdog->serving, i), &watchdog->pings[i].message);
	}
}

struct watchdog *
watchdog_start(struct serving *serving, struct event_base *base, struct inbox *inbox,
	       uint64_t interval_us)
{
	size_t count = serving_worker_count(serving);
	struct watchdog *watchdog =
		memory_zero(sizeof *watchdog + count * sizeof watchdog->pings[0]);
	const struct timeval half = clock_span(interval_us / 2);

	watchdog->serving = serving;
	watchdog->inbox = inbox;
	for (size_t i = 0; i < count; i++)
		watchdog->pings[i].watchdog = watchdog;
	(void)event_assign(&watchdog->round, base, -1, EV_PERSIST, on_round, watchdog);
	(void)event_add(&watchdog->round, &half);
	event_active(&watchdog->round, EV_TIMEOUT, 0);
	return watchdog;
}

void
watchdog_free(struct watchdog *watchdog)
{
	if (watchdog == NULL)
		return;
	(void)event_del(&watchdog->round);
	free(watchdog);
}
