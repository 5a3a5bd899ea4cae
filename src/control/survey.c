#include "control/survey.h"

#include "base/clock.h"
#include "base/list.h"
#include "tunnel/worker.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

/* So many tunnels are told of, by each worker and in all: more help nobody, and cost everybody. */
enum { MAX_TUNNELS = 100 };

struct survey {
	struct list link; /* in surveyor->waiting, or in the round's */
	survey_done_cb *on_done;
	void *arg;
};

/* One question to all workers. It lives until the last answer is there, or the worker is gone. */
struct round {
	unsigned references;       /* the surveyor's, and one for each inquiry on its way */
	struct surveyor *surveyor; /* NULL: nobody waits for it any more */
	struct survey_result result;
	struct inquiry_service *services; /* owned; of result */
	struct tunnel_view *tunnels;      /* owned; of result */
};

struct surveyor {
	struct surveyor_settings settings;
	uint64_t not_before_us; /* the next round begins */
	struct list waiting;    /* for the next round */
	struct list attending;  /* for this one */
	struct round *round;    /* one reference; NULL: none is under way */
	struct event begin;     /* outside of the caller's stack */
	struct event patience;
};

static void
unref_round(struct round *round)
{
	if (--round->references > 0)
		return;
	for (size_t i = 0; i < round->result.service_count; i++)
		free(round->services[i].name);
	free(round->services);
	free(round->tunnels);
	free(round);
}

static void
tell_all(struct surveyor *surveyor, const struct survey_result *result)
{
	while (!list_is_empty(&surveyor->attending)) {
		struct survey *survey = LIST_ITEM(surveyor->attending.next, struct survey, link);
		survey_done_cb *on_done = survey->on_done;
		void *arg = survey->arg;
		survey_cancel(survey);
		on_done(arg, result);
	}
}

/* A round, if somebody waits for one, as soon as it may be. */
static void
begin_soon(struct surveyor *surveyor)
{
	uint64_t now_us = clock_now_us();
	struct timeval left = {0};

	if (list_is_empty(&surveyor->waiting) || surveyor->round != NULL)
		return;
	if (surveyor->not_before_us > now_us)
		left = clock_span(surveyor->not_before_us - now_us);
	(void)event_add(&surveyor->begin, &left);
}

static int
compare_age(const void *left, const void *right)
{
	const struct tunnel_view *one = left;
	const struct tunnel_view *other = right;

	return one->accepted_us < other->accepted_us   ? 1
	       : one->accepted_us > other->accepted_us ? -1
						       : 0;
}

static void
end_round(struct surveyor *surveyor)
{
	struct round *round = surveyor->round;
	struct survey_result *result = &round->result;

	surveyor->round = NULL;
	round->surveyor = NULL;
	(void)event_del(&surveyor->patience);
	if (result->tunnel_count > 0)
		qsort(round->tunnels, result->tunnel_count, sizeof *round->tunnels, compare_age);
	if (result->tunnel_count > MAX_TUNNELS)
		result->tunnel_count = MAX_TUNNELS;
	result->services = round->services;
	result->tunnels = round->tunnels;
	surveyor->not_before_us = clock_now_us() + (uint64_t)surveyor->settings.interval_ms * 1000;
	begin_soon(surveyor);
	tell_all(surveyor, result);
	unref_round(round);
}

/* Takes what is new out of the answer. */
static void
add_services(struct round *round, struct inquiry *inquiry)
{
	size_t most = round->result.service_count + inquiry->service_count;
	struct inquiry_service *grown = realloc(round->services, (most + 1) * sizeof *grown);

	if (grown == NULL)
		return;
	round->services = grown;
	for (size_t i = 0; i < inquiry->service_count; i++) {
		struct inquiry_service *known = inquiry_find_service(
			round->services, round->result.service_count, inquiry->services[i].name);
		if (known != NULL) {
			health_merge(&known->view, &inquiry->services[i].view);
			whereabouts_merge(&known->where, &inquiry->services[i].where);
			continue;
		}
		round->services[round->result.service_count++] = inquiry->services[i];
		inquiry->services[i].name = NULL;
	}
}

static void
add_tunnels(struct round *round, const struct inquiry *inquiry)
{
	size_t count = round->result.tunnel_count;
	struct tunnel_view *grown = realloc(round->tunnels,
					    (count + inquiry->tunnel_count + 1) * sizeof *grown);

	if (grown == NULL)
		return;
	round->tunnels = grown;
	memcpy(grown + count, inquiry->tunnels, inquiry->tunnel_count * sizeof *grown);
	round->result.tunnel_count += inquiry->tunnel_count;
}

static void
on_answer(struct inquiry *inquiry)
{
	struct round *round = inquiry->arg;

	if (round->surveyor != NULL) {
		add_services(round, inquiry);
		if (inquiry->tunnels != NULL)
			add_tunnels(round, inquiry);
		if (++round->result.answered == round->result.asked)
			end_round(round->surveyor);
	}
	inquiry_free(inquiry);
	unref_round(round);
}

static void
on_patience(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	end_round(arg);
}

static void
ask(struct round *round, const struct surveyor_settings *settings, struct worker *worker)
{
	struct inquiry *inquiry = calloc(1, sizeof *inquiry);

	if (inquiry == NULL)
		return;
	inquiry->reply_to = settings->inbox;
	inquiry->begin = settings->begin;
	inquiry->on_answer = on_answer;
	inquiry->arg = round;
	inquiry->max_tunnels = MAX_TUNNELS;
	round->references++;
	inquiry_start(inquiry, worker);
}

static void
on_begin(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct surveyor *surveyor = arg;
	const struct timeval patience = clock_span((uint64_t)surveyor->settings.patience_ms * 1000);
	struct worker *const *workers = NULL;
	static const struct survey_result nothing;
	struct round *round;

	if (surveyor->round != NULL)
		return;
	while (!list_is_empty(&surveyor->waiting)) {
		struct list *link = surveyor->waiting.next;
		list_remove(link);
		list_append(&surveyor->attending, link);
	}
	round = calloc(1, sizeof *round);
	if (round == NULL) {
		tell_all(surveyor, &nothing);
		return;
	}
	round->references = 1;
	round->surveyor = surveyor;
	surveyor->round = round;
	surveyor->settings.workers(surveyor->settings.arg, &workers, &round->result.asked);
	(void)event_add(&surveyor->patience, &patience);
	for (size_t i = 0; i < round->result.asked; i++)
		ask(round, &surveyor->settings, workers[i]);
	if (round->result.asked == 0)
		end_round(surveyor);
}

struct surveyor *
surveyor_new(const struct surveyor_settings *settings)
{
	struct surveyor *surveyor = calloc(1, sizeof *surveyor);

	if (surveyor == NULL)
		return NULL;
	surveyor->settings = *settings;
	list_init(&surveyor->waiting);
	list_init(&surveyor->attending);
	(void)event_assign(&surveyor->begin, settings->base, -1, 0, on_begin, surveyor);
	(void)event_assign(&surveyor->patience, settings->base, -1, 0, on_patience, surveyor);
	return surveyor;
}

static void
forget_all(struct list *surveys)
{
	while (!list_is_empty(surveys))
		survey_cancel(LIST_ITEM(surveys->next, struct survey, link));
}

void
surveyor_free(struct surveyor *surveyor)
{
	if (surveyor == NULL)
		return;
	forget_all(&surveyor->waiting);
	forget_all(&surveyor->attending);
	(void)event_del(&surveyor->begin);
	(void)event_del(&surveyor->patience);
	if (surveyor->round != NULL) {
		surveyor->round->surveyor = NULL;
		unref_round(surveyor->round);
	}
	free(surveyor);
}

struct survey *
survey_start(struct surveyor *surveyor, survey_done_cb *on_done, void *arg)
{
	struct survey *survey = calloc(1, sizeof *survey);

	if (survey == NULL)
		return NULL;
	survey->on_done = on_done;
	survey->arg = arg;
	list_append(&surveyor->waiting, &survey->link);
	begin_soon(surveyor);
	return survey;
}

void
survey_cancel(struct survey *survey)
{
	if (survey == NULL)
		return;
	list_remove(&survey->link);
	free(survey);
}

const struct inquiry_service *
survey_find(const struct survey_result *result, const char *name)
{
	for (size_t i = 0; i < result->service_count; i++) {
		if (strcmp(result->services[i].name, name) == 0)
			return &result->services[i];
	}
	return NULL;
}
