#include "tunnel/hold.h"

#include "base/clock.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/rand.h>
#include <stdlib.h>

/* Each of them may have said a piece of 4 KiB (tunnel.c): 16 MiB in all. */
enum { MAX_PARKED = 4096 };

/* Between two attempts. A failover takes seconds, and an attempt costs little. */
static const uint64_t first_delay_us = 100 * 1000;
static const uint64_t last_delay_us = 1000 * 1000;

/* Who is overtaken by a dial that began so much later has met a server that is gone. That another
 * dial came through is not enough: under load all of them take long, in turn. */
static const uint64_t stuck_us = 1000 * 1000;

/* libevent's timers may come so much too early, as it rounds. */
static const uint64_t early_us = 10 * 1000;

struct hold {
	struct event_base *base; /* borrowed */
	struct list dialling;    /* seats, those that began first in front */
	struct list parked;      /* seats; the first one is the next to try */
	size_t parked_count;
	uint64_t delay_us; /* before the next attempt; grows while nobody comes through */
	uint64_t next_try_us;
	uint64_t wakes_us; /* when the timer is due, while it is */
	struct event timer;
	struct event release;      /* lets all go, outside of everybody's stack */
	uint64_t through_began_us; /* when the last dial that came through began */
	struct err failure;        /* of the last attempt */
};

/* Fewer than all clients of all workers should try in the same moment. */
static uint64_t
with_jitter(uint64_t span_us)
{
	unsigned char random = 0;

	(void)RAND_bytes(&random, sizeof random);
	return span_us - span_us / 4 + span_us / 2 * random / 255;
}

static struct hold_seat *
seat_of(struct list *link)
{
	return LIST_ITEM(link, struct hold_seat, link);
}

/* From one list to the other. */
static void
move(struct hold_seat *seat, struct list *to)
{
	list_remove(&seat->link);
	list_append(to, &seat->link);
}

/* It dials from now on. */
static void
unpark(struct hold_seat *seat)
{
	if (seat->is_parked)
		seat->hold->parked_count--;
	seat->is_parked = false;
	seat->since_us = clock_now_us();
	move(seat, &seat->hold->dialling);
}

/* Of those in one of the lists who are held, also while they try again. */
static uint64_t
earliest_deadline_us(const struct list *seats)
{
	uint64_t earliest_us = UINT64_MAX;

	for (struct list *link = seats->next; link != seats; link = link->next) {
		if (seat_of(link)->is_held && seat_of(link)->deadline_us < earliest_us)
			earliest_us = seat_of(link)->deadline_us;
	}
	return earliest_us;
}

static void
wake_at(struct hold *hold, uint64_t when_us)
{
	uint64_t now_us = clock_now_us();
	const struct timeval wait = clock_span(when_us > now_us ? when_us - now_us : 0);

	hold->wakes_us = when_us;
	(void)event_add(&hold->timer, &wait);
}

/* Sleeps until somebody should try, or somebody's time is up. */
static void
arm(struct hold *hold)
{
	uint64_t when_us = earliest_deadline_us(&hold->parked);
	uint64_t trying_us = earliest_deadline_us(&hold->dialling);

	if (trying_us < when_us)
		when_us = trying_us;
	if (when_us == UINT64_MAX)
		return;
	if (hold->parked_count > 0 && hold->next_try_us < when_us)
		when_us = hold->next_try_us;
	wake_at(hold, when_us);
}

static void
take_late_ones(struct list *seats, uint64_t now_us, struct list *late)
{
	struct list *next;

	for (struct list *link = seats->next; link != seats; link = next) {
		next = link->next;
		if (seat_of(link)->is_held && seat_of(link)->deadline_us <= now_us)
			move(seat_of(link), late);
	}
}

/* Callbacks may change the lists, so those whose time is up are taken out first. */
static void
give_up_late_ones(struct hold *hold)
{
	uint64_t now_us = clock_now_us() + early_us;
	struct list late;

	list_init(&late);
	take_late_ones(&hold->parked, now_us, &late);
	take_late_ones(&hold->dialling, now_us, &late);
	while (!list_is_empty(&late)) {
		struct hold_seat *seat = seat_of(late.next);
		unpark(seat);
		seat->is_held = false;
		seat->on_give_up(seat->arg);
	}
}

/* The one that waits for longest without having tried. */
static void
let_one_try(struct hold *hold)
{
	struct hold_seat *seat = seat_of(hold->parked.next);

	unpark(seat);
	hold->delay_us += hold->delay_us / 2;
	if (hold->delay_us > last_delay_us)
		hold->delay_us = last_delay_us;
	hold->next_try_us = clock_now_us() + with_jitter(hold->delay_us);
	seat->on_go(seat->arg);
}

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct hold *hold = arg;

	give_up_late_ones(hold);
	if (hold->parked_count > 0 && clock_now_us() + early_us >= hold->next_try_us)
		let_one_try(hold);
	arm(hold);
}

/* Somebody came through: everybody else goes too, and who is stuck begins anew. */
static void
on_release(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct hold *hold = arg;
	struct list going;

	hold->delay_us = first_delay_us;
	list_init(&going);
	while (!list_is_empty(&hold->parked))
		move(seat_of(hold->parked.next), &going);
	while (!list_is_empty(&hold->dialling) &&
	       seat_of(hold->dialling.next)->since_us + stuck_us <= hold->through_began_us)
		move(seat_of(hold->dialling.next), &going);
	while (!list_is_empty(&going)) {
		struct hold_seat *seat = seat_of(going.next);
		unpark(seat);
		seat->on_go(seat->arg);
	}
}

struct hold *
hold_new(struct event_base *base)
{
	struct hold *hold = calloc(1, sizeof *hold);

	if (hold == NULL)
		return NULL;
	hold->base = base;
	hold->delay_us = first_delay_us;
	list_init(&hold->dialling);
	list_init(&hold->parked);
	(void)event_assign(&hold->timer, base, -1, 0, on_timer, hold);
	(void)event_assign(&hold->release, base, -1, 0, on_release, hold);
	return hold;
}

void
hold_free(struct hold *hold)
{
	if (hold == NULL)
		return;
	assert(list_is_empty(&hold->dialling) && list_is_empty(&hold->parked));
	(void)event_del(&hold->timer);
	(void)event_del(&hold->release);
	free(hold);
}

void
hold_enter(struct hold *hold, struct hold_seat *seat)
{
	seat->hold = hold;
	seat->is_parked = false;
	seat->is_held = false;
	seat->since_us = clock_now_us();
	list_append(&hold->dialling, &seat->link);
}

void
hold_note_failure(struct hold *hold, const struct err *err)
{
	hold->failure = *err;
}

const struct err *
hold_failure(const struct hold *hold)
{
	return &hold->failure;
}

bool
hold_park(struct hold_seat *seat)
{
	struct hold *hold = seat->hold;
	uint64_t now_us = clock_now_us();

	assert(!seat->is_parked);
	if (now_us >= seat->deadline_us || hold->parked_count >= MAX_PARKED)
		return false;
	if (hold->parked_count == 0)
		hold->next_try_us = now_us + with_jitter(hold->delay_us);
	seat->is_parked = true;
	seat->is_held = true;
	hold->parked_count++;
	move(seat, &hold->parked);
	uint64_t when_us = seat->deadline_us < hold->next_try_us ? seat->deadline_us
								 : hold->next_try_us;
	if (!event_pending(&hold->timer, EV_TIMEOUT, NULL) || when_us < hold->wakes_us)
		wake_at(hold, when_us);
	return true;
}

/* Whether one that began long before still dials. */
static bool
has_overtaken(const struct hold_seat *seat, const struct hold *hold)
{
	return !list_is_empty(&hold->dialling) &&
	       seat_of(hold->dialling.next)->since_us + stuck_us <= seat->since_us;
}

void
hold_leave(struct hold_seat *seat, bool has_connected)
{
	struct hold *hold = seat->hold;

	if (hold == NULL)
		return;
	if (seat->is_parked)
		hold->parked_count--;
	seat->is_parked = false;
	seat->hold = NULL;
	list_remove(&seat->link);
	if (has_connected && (hold->parked_count > 0 || has_overtaken(seat, hold))) {
		hold->through_began_us = seat->since_us;
		event_active(&hold->release, EV_TIMEOUT, 0);
	}
	/* An empty hold sleeps by itself: whoever is gone is not in the lists. */
	if (hold->parked_count == 0 && list_is_empty(&hold->dialling))
		hold->delay_us = first_delay_us;
}

size_t
hold_count(const struct hold *hold)
{
	return hold->parked_count;
}
