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

struct hold {
	struct event_base *base; /* borrowed */
	struct list dialling;    /* seats, those that began first in front */
	struct list parked;      /* seats; the first one is the next to try */
	size_t parked_count;
	uint64_t delay_us; /* before the next attempt; grows while nobody comes through */
	struct event timer;
	struct err failure; /* of the last attempt */
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

static uint64_t
earliest_deadline_us(const struct hold *hold)
{
	uint64_t earliest_us = UINT64_MAX;

	for (struct list *link = hold->parked.next; link != &hold->parked; link = link->next) {
		if (seat_of(link)->deadline_us < earliest_us)
			earliest_us = seat_of(link)->deadline_us;
	}
	return earliest_us;
}

static void
arm(struct hold *hold)
{
	uint64_t now_us = clock_now_us();
	uint64_t wait_us = with_jitter(hold->delay_us);
	uint64_t deadline_us = earliest_deadline_us(hold);

	if (hold->parked_count == 0)
		return;
	if (deadline_us < now_us + wait_us)
		wait_us = deadline_us > now_us ? deadline_us - now_us : 0;
	const struct timeval wait = clock_span(wait_us);
	(void)event_add(&hold->timer, &wait);
}

/* Callbacks may change the lists, so those whose time is up are taken out first. */
static void
give_up_late_ones(struct hold *hold)
{
	uint64_t now_us = clock_now_us();
	struct list late;
	struct list *next;

	list_init(&late);
	for (struct list *link = hold->parked.next; link != &hold->parked; link = next) {
		next = link->next;
		if (seat_of(link)->deadline_us <= now_us)
			move(seat_of(link), &late);
	}
	while (!list_is_empty(&late)) {
		struct hold_seat *seat = seat_of(late.next);
		unpark(seat);
		seat->on_give_up(seat->arg);
	}
}

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct hold *hold = arg;

	give_up_late_ones(hold);
	if (list_is_empty(&hold->parked))
		return;
	struct hold_seat *seat = seat_of(hold->parked.next);
	unpark(seat);
	hold->delay_us += hold->delay_us / 2;
	if (hold->delay_us > last_delay_us)
		hold->delay_us = last_delay_us;
	seat->on_go(seat->arg);
	arm(hold);
}

/* A dial that began at `began_us` came through: everybody else goes too, and who is stuck begins
 * anew. */
static void
let_all_go(struct hold *hold, uint64_t began_us)
{
	struct list going;

	hold->delay_us = first_delay_us;
	list_init(&going);
	while (!list_is_empty(&hold->parked))
		move(seat_of(hold->parked.next), &going);
	while (!list_is_empty(&hold->dialling) &&
	       seat_of(hold->dialling.next)->since_us + stuck_us <= began_us)
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
	return hold;
}

void
hold_free(struct hold *hold)
{
	if (hold == NULL)
		return;
	assert(list_is_empty(&hold->dialling) && list_is_empty(&hold->parked));
	(void)event_del(&hold->timer);
	free(hold);
}

void
hold_enter(struct hold *hold, struct hold_seat *seat)
{
	seat->hold = hold;
	seat->is_parked = false;
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

	assert(!seat->is_parked);
	if (clock_now_us() >= seat->deadline_us || hold->parked_count >= MAX_PARKED)
		return false;
	seat->is_parked = true;
	hold->parked_count++;
	move(seat, &hold->parked);
	if (!event_pending(&hold->timer, EV_TIMEOUT, NULL))
		arm(hold);
	return true;
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
	if (has_connected)
		let_all_go(hold, seat->since_us);
	if (hold->parked_count > 0)
		return;
	(void)event_del(&hold->timer);
	if (list_is_empty(&hold->dialling))
		hold->delay_us = first_delay_us;
}

size_t
hold_count(const struct hold *hold)
{
	return hold->parked_count;
}
