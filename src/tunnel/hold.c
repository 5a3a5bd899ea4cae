#include "tunnel/hold.h"

#include "base/clock.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/rand.h>
#include <stdlib.h>

/* How many may wait, and how much they may have said: each of them one piece of 64 KiB at most. */
enum { MAX_PARKED = 4096, MAX_BYTES = 16 * 1024 * 1024 };

/* Between two attempts. A failover takes seconds, and an attempt costs little. */
static const uint64_t first_delay_us = 100 * 1000;
static const uint64_t last_delay_us = 1000 * 1000;

/* A dial that has lasted this long while another came through has met a server that is gone. */
static const uint64_t stuck_us = 1000 * 1000;

struct hold {
	struct event_base *base; /* borrowed */
	struct list seats;
	size_t parked;
	size_t bytes;
	bool is_looking;   /* somebody was parked, and nobody has come through since */
	uint64_t delay_us; /* before the next attempt; grows while nobody comes through */
	struct event timer;
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

static struct hold_seat *
first_parked(const struct hold *hold)
{
	for (struct list *link = hold->seats.next; link != &hold->seats; link = link->next) {
		if (seat_of(link)->is_parked)
			return seat_of(link);
	}
	return NULL;
}

static void
unpark(struct hold_seat *seat)
{
	if (!seat->is_parked)
		return;
	seat->is_parked = false;
	seat->since_us = clock_now_us();
	seat->hold->parked--;
	seat->hold->bytes -= seat->bytes;
}

static uint64_t
earliest_deadline_us(const struct hold *hold)
{
	uint64_t earliest_us = UINT64_MAX;

	for (struct list *link = hold->seats.next; link != &hold->seats; link = link->next) {
		const struct hold_seat *seat = seat_of(link);
		if (seat->is_parked && seat->deadline_us < earliest_us)
			earliest_us = seat->deadline_us;
	}
	return earliest_us;
}

static void
arm(struct hold *hold)
{
	uint64_t now_us = clock_now_us();
	uint64_t wait_us = with_jitter(hold->delay_us);
	uint64_t deadline_us = earliest_deadline_us(hold);

	if (hold->parked == 0)
		return;
	if (deadline_us < now_us + wait_us)
		wait_us = deadline_us > now_us ? deadline_us - now_us : 0;
	const struct timeval wait = {
		.tv_sec = (time_t)(wait_us / 1000000),
		.tv_usec = (suseconds_t)(wait_us % 1000000),
	};
	(void)event_add(&hold->timer, &wait);
}

/* Callbacks may change the list, so those whose time is up are taken out of it first. */
static void
give_up_late_ones(struct hold *hold)
{
	uint64_t now_us = clock_now_us();
	struct list late;
	struct list *next;

	list_init(&late);
	for (struct list *link = hold->seats.next; link != &hold->seats; link = next) {
		next = link->next;
		if (!seat_of(link)->is_parked || seat_of(link)->deadline_us > now_us)
			continue;
		list_remove(link);
		list_append(&late, link);
	}
	while (!list_is_empty(&late)) {
		struct hold_seat *seat = seat_of(late.next);
		list_remove(&seat->link);
		list_append(&hold->seats, &seat->link);
		unpark(seat);
		seat->on_give_up(seat->arg);
	}
}

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct hold *hold = arg;

	give_up_late_ones(hold);
	struct hold_seat *seat = first_parked(hold);
	if (seat == NULL)
		return;
	unpark(seat);
	hold->delay_us += hold->delay_us / 2;
	if (hold->delay_us > last_delay_us)
		hold->delay_us = last_delay_us;
	seat->on_go(seat->arg);
	arm(hold);
}

/* Somebody came through: everybody else goes too, and who is stuck begins anew. */
static void
let_all_go(struct hold *hold)
{
	uint64_t now_us = clock_now_us();
	struct list going;
	struct list *next;

	hold->is_looking = false;
	hold->delay_us = first_delay_us;
	list_init(&going);
	for (struct list *link = hold->seats.next; link != &hold->seats; link = next) {
		next = link->next;
		if (!seat_of(link)->is_parked && now_us - seat_of(link)->since_us < stuck_us)
			continue;
		list_remove(link);
		list_append(&going, link);
	}
	while (!list_is_empty(&going)) {
		struct hold_seat *seat = seat_of(going.next);
		list_remove(&seat->link);
		list_append(&hold->seats, &seat->link);
		unpark(seat);
		seat->since_us = now_us;
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
	list_init(&hold->seats);
	(void)event_assign(&hold->timer, base, -1, 0, on_timer, hold);
	return hold;
}

void
hold_free(struct hold *hold)
{
	if (hold == NULL)
		return;
	assert(list_is_empty(&hold->seats));
	(void)event_del(&hold->timer);
	free(hold);
}

void
hold_enter(struct hold *hold, struct hold_seat *seat)
{
	seat->hold = hold;
	seat->is_parked = false;
	seat->since_us = clock_now_us();
	list_append(&hold->seats, &seat->link);
}

bool
hold_is_looking(const struct hold *hold)
{
	return hold->parked > 0;
}

bool
hold_park(struct hold_seat *seat, size_t bytes)
{
	struct hold *hold = seat->hold;

	assert(!seat->is_parked);
	if (clock_now_us() >= seat->deadline_us || hold->parked >= MAX_PARKED ||
	    hold->bytes + bytes > MAX_BYTES)
		return false;
	hold->is_looking = true;
	seat->is_parked = true;
	seat->bytes = bytes;
	hold->parked++;
	hold->bytes += bytes;
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
	unpark(seat);
	seat->hold = NULL;
	list_remove(&seat->link);
	if (has_connected && hold->is_looking)
		let_all_go(hold);
	if (hold->parked > 0)
		return;
	(void)event_del(&hold->timer);
	if (list_is_empty(&hold->seats))
		hold->delay_us = first_delay_us;
}

size_t
hold_count(const struct hold *hold)
{
	return hold->parked;
}
