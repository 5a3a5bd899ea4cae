#include "control/upstream.h"

#include "config/config.h"
#include "control/redis_probe.h"
#include "stream/stream.h"
#include "tunnel/dialer.h"
#include "tunnel/generation.h"
#include "tunnel/health.h"
#include "tunnel/inquiry.h"
#include "tunnel/worker.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

/* One service that is looked at. */
struct visit {
	struct look *look;
	struct health *health;     /* borrowed from the worker */
	struct dial *dial;         /* owned; until the look is over */
	struct stream *stream;     /* owned */
	struct redis_probe *probe; /* owned */
};

/* All of a worker's. */
struct look {
	struct worker_task task; /* first, so that the two can be cast */
	struct worker *worker;
	struct inquiry *inquiry;       /* to be answered; owned until then */
	struct generation *generation; /* one reference */
	struct event over;             /* outside of everybody's callbacks */
	size_t left;                   /* visits that go on */
	size_t count;
	struct visit visits[];
};

static void
free_look(struct look *look)
{
	(void)event_del(&look->over);
	list_remove(&look->task.link);
	for (size_t i = 0; i < look->count; i++) {
		redis_probe_free(look->visits[i].probe);
		dial_free(look->visits[i].dial);
		stream_free(look->visits[i].stream);
	}
	generation_unref(look->generation);
	free(look);
}

static void
answer(struct look *look)
{
	struct worker *worker = look->worker;
	struct inquiry *inquiry = look->inquiry;

	free_look(look);
	inquiry_answer(inquiry, worker);
}

static void
on_over(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	answer(arg);
}

/* The worker stops. */
static void
cancel(struct worker_task *task)
{
	answer((struct look *)(void *)task);
}

static void
end_visit(struct visit *visit)
{
	if (--visit->look->left == 0)
		event_active(&visit->look->over, EV_TIMEOUT, 0);
}

static void
on_probed(void *arg, const struct redis_facts *facts, const struct err *err)
{
	struct visit *visit = arg;
	struct err failure;

	if (err == NULL && facts->is_up) {
		health_pass(visit->health, HEALTH_REDIS);
	} else {
		(void)err_set(&failure, "the answer to PING is no sign of life: %s", facts->ping);
		health_fail(visit->health, HEALTH_REDIS, err != NULL ? err : &failure);
	}
	end_visit(visit);
}

static void
on_dialled(void *arg, const struct dial_outcome *outcome, const struct err *err ATTR_UNUSED)
{
	struct visit *visit = arg;

	/* What failed on the way has been told to the observer. */
	if (outcome == NULL) {
		end_visit(visit);
		return;
	}
	visit->stream = outcome->stream;
	visit->probe = redis_probe_start(worker_base(visit->look->worker), visit->stream,
					 outcome->service->service->options.timeout_busy_s,
					 on_probed, visit);
	if (visit->probe == NULL)
		end_visit(visit);
}

static void
start_visit(struct look *look, size_t index)
{
	struct generation *generation = look->generation;
	struct visit *visit = &look->visits[look->count++];

	*visit = (struct visit){.look = look, .health = generation_health(generation, index)};
	struct dial_request request = generation_dial_request(generation, index);

	request.watches = NULL; /* a server that refuses writes answers */
	look->left++;
	visit->dial = dial_start(&request, on_dialled, visit);
	if (visit->dial == NULL)
		end_visit(visit);
}

/* Whether this worker is the one that looks at it. */
static bool
is_ours(const struct generation *generation, const struct service *service)
{
	const struct generation_place *place = generation_place(generation);
	size_t owner;

	if (!generation_find_owner(service, place->worker_count, &owner))
		owner = service->index % place->worker_count;
	return owner == place->worker_index;
}

void
upstream_begin(struct inquiry *inquiry, struct worker *worker)
{
	struct generation *generation = worker_generation(worker);
	const struct config *config = setup_config(generation_setup(generation));
	struct look *look = NULL;

	if (!worker_has_task(worker))
		look = calloc(1, sizeof *look + config->service_count * sizeof look->visits[0]);
	if (look == NULL) {
		inquiry_answer(inquiry, worker);
		return;
	}
	look->worker = worker;
	look->inquiry = inquiry;
	look->generation = generation_ref(generation);
	look->task.cancel = cancel;
	worker_add_task(worker, &look->task);
	(void)event_assign(&look->over, worker_base(worker), -1, 0, on_over, look);
	look->left = 1; /* ours, while we start */
	for (size_t i = 0; i < config->service_count; i++) {
		if (is_ours(generation, config->services[i]))
			start_visit(look, i);
	}
	if (--look->left == 0)
		event_active(&look->over, EV_TIMEOUT, 0);
}
