#include "base/log_repeats.h"

#include <string.h>

static bool
is_same(const struct log_repeat *left, const struct log_repeat *right)
{
	return left->level == right->level && strcmp(left->text, right->text) == 0 &&
	       strcmp(left->service, right->service) == 0;
}

static struct log_repeat *
find(struct log_repeats *repeats, const struct log_repeat *said)
{
	for (size_t i = 0; i < LOG_REPEATS_SLOTS; i++) {
		struct log_repeat *slot = &repeats->slots[i];
		if (slot->first_us != 0 && is_same(slot, said))
			return slot;
	}
	return NULL;
}

/* A free slot, or the one that was filled first. */
static struct log_repeat *
choose_slot(struct log_repeats *repeats)
{
	struct log_repeat *chosen = &repeats->slots[0];

	for (size_t i = 1; i < LOG_REPEATS_SLOTS; i++) {
		if (repeats->slots[i].first_us < chosen->first_us)
			chosen = &repeats->slots[i];
	}
	return chosen;
}

bool
log_repeats_note(struct log_repeats *repeats, const struct log_repeat *said, uint64_t now_us,
		 struct log_repeat *ret_told)
{
	struct log_repeat *slot = find(repeats, said);

	ret_told->more = 0;
	if (slot != NULL && now_us - slot->first_us < repeats->window_us) {
		slot->more++;
		return false;
	}
	/* Its own time is over and nobody has taken it yet, or it is new. */
	if (slot == NULL)
		slot = choose_slot(repeats);
	if (slot->first_us != 0)
		*ret_told = *slot;
	*slot = *said;
	slot->first_us = now_us;
	slot->more = 0;
	return true;
}

bool
log_repeats_take(struct log_repeats *repeats, uint64_t now_us, bool is_everything,
		 struct log_repeat *ret_told)
{
	for (size_t i = 0; i < LOG_REPEATS_SLOTS; i++) {
		struct log_repeat *slot = &repeats->slots[i];
		if (slot->first_us == 0 ||
		    (!is_everything && now_us - slot->first_us < repeats->window_us))
			continue;
		*ret_told = *slot;
		slot->first_us = 0;
		if (ret_told->more > 0)
			return true;
	}
	return false;
}

uint64_t
log_repeats_next_us(const struct log_repeats *repeats)
{
	uint64_t next_us = UINT64_MAX;

	for (size_t i = 0; i < LOG_REPEATS_SLOTS; i++) {
		const struct log_repeat *slot = &repeats->slots[i];
		if (slot->first_us != 0 && slot->first_us + repeats->window_us < next_us)
			next_us = slot->first_us + repeats->window_us;
	}
	return next_us;
}
