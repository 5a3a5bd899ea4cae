#include "tunnel/spread.h"

#include "base/clock.h"
#include "base/list.h"
#include "tunnel/backoff.h"

#include <stdlib.h>

/* How many addresses are remembered: more than the five replicas that a primary may have. */
enum { MAX_PLACES = 64 };

struct spread_place {
	struct list link;
	struct resolved_address address;
	unsigned open; /* tunnels */
	struct backoff backoff;
	uint64_t turn; /* when it was chosen last, for those with equally many */
};

struct spread {
	struct list places;
	size_t count;
	uint64_t turns;
};

static struct spread_place *
place_of(struct list *link)
{
	return LIST_ITEM(link, struct spread_place, link);
}

static void
forget_one(struct spread *spread)
{
	for (struct list *link = spread->places.next; link != &spread->places; link = link->next) {
		if (place_of(link)->open > 0)
			continue;
		list_remove(link);
		free(place_of(link));
		spread->count--;
		return;
	}
}

static const struct spread_place *
find_known(const struct spread *spread, const struct resolved_address *address)
{
	for (struct list *link = spread->places.next; link != &spread->places; link = link->next) {
		if (resolved_is_same(&place_of(link)->address, address))
			return place_of(link);
	}
	return NULL;
}

/* Those that were asked for last stand at the end. NULL: no memory, or too many in use. */
static struct spread_place *
find(struct spread *spread, const struct resolved_address *address)
{
	for (struct list *link = spread->places.next; link != &spread->places; link = link->next) {
		if (!resolved_is_same(&place_of(link)->address, address))
			continue;
		list_remove(link);
		list_append(&spread->places, link);
		return place_of(link);
	}
	if (spread->count >= MAX_PLACES)
		forget_one(spread);
	if (spread->count >= MAX_PLACES)
		return NULL;
	struct spread_place *place = calloc(1, sizeof *place);
	if (place == NULL)
		return NULL;
	place->address = *address;
	list_append(&spread->places, &place->link);
	spread->count++;
	return place;
}

static bool
is_left_out(const struct spread_place *place, uint64_t now_us)
{
	return place->backoff.failures > 0 && backoff_left_us(&place->backoff, now_us) > 0;
}

struct ranked {
	struct resolved_address address;
	bool is_left_out;
	unsigned open;
	uint64_t turn;
};

static int
compare(const void *left, const void *right)
{
	const struct ranked *one = left;
	const struct ranked *other = right;

	if (one->is_left_out != other->is_left_out)
		return one->is_left_out ? 1 : -1;
	if (one->open != other->open)
		return one->open < other->open ? -1 : 1;
	return one->turn < other->turn ? -1 : one->turn > other->turn;
}

struct spread *
spread_new(void)
{
	struct spread *spread = calloc(1, sizeof *spread);

	if (spread != NULL)
		list_init(&spread->places);
	return spread;
}

void
spread_free(struct spread *spread)
{
	if (spread == NULL)
		return;
	while (!list_is_empty(&spread->places)) {
		struct spread_place *place = place_of(spread->places.next);
		list_remove(&place->link);
		free(place);
	}
	free(spread);
}

bool
spread_is_all_left_out(const struct spread *spread, const struct resolved *addresses)
{
	uint64_t now_us = clock_now_us();

	for (size_t i = 0; i < addresses->count; i++) {
		const struct spread_place *place = find_known(spread, &addresses->items[i]);
		if (place == NULL || !is_left_out(place, now_us))
			return false;
	}
	return true;
}

struct spread_place *
spread_arrange(struct spread *spread, struct resolved *addresses)
{
	struct ranked ranked[RESOLVED_MAX_ADDRESSES] = {0};
	uint64_t now_us = clock_now_us();

	if (addresses->count == 0)
		return NULL;
	for (size_t i = 0; i < addresses->count; i++) {
		const struct spread_place *place = find(spread, &addresses->items[i]);
		ranked[i] = (struct ranked){.address = addresses->items[i]};
		if (place == NULL)
			continue;
		ranked[i].is_left_out = is_left_out(place, now_us);
		ranked[i].open = place->open;
		ranked[i].turn = place->turn;
	}
	qsort(ranked, addresses->count, sizeof *ranked, compare);
	for (size_t i = 0; i < addresses->count; i++)
		addresses->items[i] = ranked[i].address;
	struct spread_place *chosen = find(spread, &addresses->items[0]);
	if (chosen == NULL)
		return NULL;
	chosen->turn = ++spread->turns;
	chosen->open++;
	return chosen;
}

void
spread_note_failure(struct spread *spread, const struct resolved_address *address)
{
	struct spread_place *place = find(spread, address);

	if (place != NULL)
		(void)backoff_fail(&place->backoff, clock_now_us(), false);
}

struct spread_place *
spread_open(struct spread *spread, const struct resolved_address *address)
{
	struct spread_place *place = find(spread, address);

	if (place == NULL)
		return NULL;
	place->open++;
	return place;
}

void
spread_note_success(struct spread_place *place)
{
	if (place != NULL)
		backoff_reset(&place->backoff);
}

void
spread_close(struct spread_place *place)
{
	if (place != NULL)
		place->open--;
}
