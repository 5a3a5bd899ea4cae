#include "tunnel/search.h"

#include "base/clock.h"
#include "tunnel/generation.h"
#include "tunnel/hold.h"
#include "tunnel/warm.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>

enum search_state {
	SEARCH_STARTING, /* the first dial, or a seat in the hold, comes with the kick */
	SEARCH_DIALLING,
	SEARCH_PARKED,
	SEARCH_ENDED,
};

static const char *const state_names[] = {
	[SEARCH_STARTING] = "starting",
	[SEARCH_DIALLING] = "dialling",
	[SEARCH_PARKED] = "parked",
	[SEARCH_ENDED] = "ended",
};

struct search {
	struct search_request request;
	dial_done_cb *on_done;
	void *arg;
	enum search_state state; /* written by set_state() only */
	struct dial *dial;       /* owned; while dialling */
	struct dial *spent;      /* owned; one that has ended, in whose callback we may be */
	struct event kick;       /* starts a dial, outside of everybody's stack */
	struct hold_seat seat;
	const struct setup_service *target; /* whom to dial: our own service, or its fallback */
	bool has_failed;                    /* at least once */
	bool takes_stale_answers;           /* a server that refuses writes is better than none */
	struct err err;                     /* of its own last dial */
};

static void
set_state(struct search *search, enum search_state state)
{
	static const unsigned allowed[] = {
		[SEARCH_STARTING] = 1 << SEARCH_DIALLING | 1 << SEARCH_PARKED | 1 << SEARCH_ENDED,
		[SEARCH_DIALLING] = 1 << SEARCH_STARTING | 1 << SEARCH_PARKED | 1 << SEARCH_ENDED,
		[SEARCH_PARKED] = 1 << SEARCH_STARTING | 1 << SEARCH_ENDED,
		[SEARCH_ENDED] = 0,
	};

	assert(allowed[search->state] & 1U << state);
	log_write(search->request.log, LOG_LEVEL_DEBUG, "search: %s -> %s",
		  state_names[search->state], state_names[state]);
	search->state = state;
}

static const struct service_options *
options_of(const struct search *search)
{
	return &search->request.service->service->options;
}

static void
end(struct search *search, const struct dial_outcome *outcome)
{
	set_state(search, SEARCH_ENDED);
	/* A warm connection tells nothing about how the endpoint is now. */
	hold_leave(&search->seat, outcome != NULL && !outcome->is_warm);
	search->on_done(search->arg, outcome, outcome != NULL ? NULL : &search->err);
}

/* Whether the endpoint may be there in a moment. The rest is a matter for a person. */
static bool
may_pass(enum err_kind kind)
{
	return kind == ERR_TIMEOUT || kind == ERR_REFUSED || kind == ERR_UNREACHABLE ||
	       kind == ERR_DISCONNECTED || kind == ERR_EXHAUSTED || kind == ERR_NAME_SERVER ||
	       kind == ERR_NAME_STALE;
}

/* A name that has lost its last address (every replica is gone) has nothing left to wait for, but
 * another service may stand in. */
static bool
may_fall_back(enum err_kind kind)
{
	return may_pass(kind) || kind == ERR_NAME_UNKNOWN;
}

/* Waits with the others, if there is time and room. */
static bool
park(struct search *search)
{
	if (!hold_park(&search->seat))
		return false;
	set_state(search, SEARCH_PARKED);
	return true;
}

static void
dial_soon(struct search *search)
{
	if (search->state != SEARCH_STARTING)
		set_state(search, SEARCH_STARTING);
	event_active(&search->kick, EV_TIMEOUT, 0);
}

static void
tell_hold(const struct search *search, const struct err *err)
{
	char text[LOG_TEXT_SIZE];

	(void)snprintf(text, sizeof text,
		       "Service [%s]: %s; the client is held for up to %d s (TIMEOUThold)",
		       search->request.service->service->name, err->text,
		       options_of(search)->timeout_hold_s);
	log_write_repeatable(search->request.log, LOG_LEVEL_WARNING, NULL, text, "%s", text);
}

static void
tell_fallback(const struct search *search, const struct err *err)
{
	const struct service *service = search->request.service->service;
	char text[LOG_TEXT_SIZE];

	(void)snprintf(text, sizeof text, "Service [%s]: %s; falling back to [%s]", service->name,
		       err->text, service->fallback->name);
	log_write_repeatable(search->request.log, LOG_LEVEL_WARNING, NULL, text, "%s", text);
}

/* Nobody came through in time. */
static void
give_up(struct search *search)
{
	(void)err_wrap(&search->err, "held for %d s (TIMEOUThold)",
		       options_of(search)->timeout_hold_s);
	end(search, NULL);
}

static void
on_failed(struct search *search, const struct err *err)
{
	const struct setup_service *own = search->request.service;
	const struct service *fallback = own->service->fallback;

	/* The fallback's own failure says less than the first one. */
	if (search->target == own)
		search->err = *err;
	if (search->target == own && fallback != NULL && may_fall_back(err->kind)) {
		search->target = setup_get_service(generation_setup(search->request.generation),
						   fallback->index);
		tell_fallback(search, err);
		dial_soon(search);
		return;
	}
	search->target = own;
	hold_note_failure(search->seat.hold, &search->err);
	if (may_pass(search->err.kind) && park(search)) {
		if (!search->has_failed)
			tell_hold(search, &search->err);
		search->has_failed = true;
	} else if (search->err.kind == ERR_NAME_STALE && !search->takes_stale_answers) {
		search->takes_stale_answers = true;
		dial_soon(search);
	} else if (may_pass(search->err.kind) && search->has_failed &&
		   clock_now_us() >= search->seat.deadline_us) {
		give_up(search); /* else there is no room to wait */
	} else {
		end(search, NULL);
	}
}

static void
on_dialled(void *arg, const struct dial_outcome *outcome, const struct err *err)
{
	struct search *search = arg;

	/* Not freed in here: its streams may tell us from inside a turn of theirs. */
	search->spent = search->dial;
	search->dial = NULL;
	if (outcome != NULL)
		end(search, outcome);
	else
		on_failed(search, err);
}

static void
start_dial(struct search *search)
{
	struct generation *generation = search->request.generation;
	size_t index = search->target->service->index;
	struct dial_request request = generation_dial_request(generation, index);

	dial_free(search->spent);
	search->spent = NULL;
	request.is_anew = search->has_failed;
	request.log = search->request.log;
	request.takes_demoted = search->takes_stale_answers;
	set_state(search, SEARCH_DIALLING);
	search->dial = dial_start(&request, on_dialled, search);
	if (search->dial != NULL)
		return;
	(void)err_set(&search->err, "out of memory");
	end(search, NULL);
}

static void
on_kick(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct search *search = arg;
	struct warm *warm = generation_warm(search->request.generation,
					    search->target->service->index);
	struct dial_outcome outcome;

	if (warm != NULL && warm_take(warm, &outcome)) {
		end(search, &outcome);
		return;
	}
	/* Who comes while others are looking has nothing to add. */
	if (!search->has_failed && hold_count(search->seat.hold) > 0 && park(search)) {
		search->has_failed = true;
		return;
	}
	start_dial(search);
}

static void
drop_dial(struct search *search)
{
	dial_free(search->dial);
	search->dial = NULL;
}

/* The hold says that it is time to dial, perhaps in place of a dial that is stuck. */
static void
on_go(void *arg)
{
	struct search *search = arg;

	if (search->state == SEARCH_STARTING)
		return;
	drop_dial(search);
	search->target = search->request.service;
	dial_soon(search);
}

static void
on_give_up(void *arg)
{
	struct search *search = arg;

	drop_dial(search);
	(void)event_del(&search->kick);
	search->err = *hold_failure(search->seat.hold);
	if (search->err.kind == ERR_NAME_STALE && !search->takes_stale_answers) {
		search->takes_stale_answers = true;
		dial_soon(search);
		return;
	}
	give_up(search);
}

struct search *
search_start(const struct search_request *request, dial_done_cb *on_done, void *arg)
{
	struct search *search = calloc(1, sizeof *search);
	size_t index = request->service->service->index;

	if (search == NULL)
		return NULL;
	search->request = *request;
	search->target = request->service;
	search->on_done = on_done;
	search->arg = arg;
	(void)event_assign(&search->kick, generation_place(request->generation)->base, -1, 0,
			   on_kick, search);
	search->seat = (struct hold_seat){
		.deadline_us = clock_now_us() +
			       (uint64_t)options_of(search)->timeout_hold_s * 1000000,
		.on_go = on_go,
		.on_give_up = on_give_up,
		.arg = search,
	};
	search->takes_stale_answers = options_of(search)->timeout_hold_s == 0;
	hold_enter(generation_hold(request->generation, index), &search->seat);
	event_active(&search->kick, EV_TIMEOUT, 0);
	return search;
}

void
search_free(struct search *search)
{
	if (search == NULL)
		return;
	hold_leave(&search->seat, false);
	(void)event_del(&search->kick);
	dial_free(search->dial);
	dial_free(search->spent);
	free(search);
}
