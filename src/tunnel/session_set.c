#include "tunnel/session_set.h"

#include "tunnel/pooled_session.h"

#include <limits.h>
#include <stddef.h>

/* On its way to being ready. */
static bool
is_coming(const struct pooled_session *pooled)
{
	return !pooled_session_is_ready(pooled) && !pooled_session_is_dead(pooled);
}

bool
session_set_is_useful(const struct list *sessions)
{
	for (struct list *link = sessions->next; link != sessions; link = link->next) {
		if (pooled_session_is_useful(pooled_session_of(link)))
			return true;
	}
	return false;
}

void
session_set_count(const struct list *sessions, unsigned *ret_coming, unsigned *ret_count)
{
	*ret_coming = 0;
	*ret_count = 0;
	for (struct list *link = sessions->next; link != sessions; link = link->next) {
		const struct pooled_session *pooled = pooled_session_of(link);
		*ret_count += !pooled_session_is_dead(pooled);
		*ret_coming += is_coming(pooled);
	}
}

unsigned
session_set_spare(const struct list *sessions, unsigned limit)
{
	unsigned spare = 0;
	unsigned count = 0;

	for (struct list *link = sessions->next; link != sessions; link = link->next) {
		const struct pooled_session *pooled = pooled_session_of(link);
		count += !pooled_session_is_dead(pooled);
		spare += pooled_session_is_free(pooled) || is_coming(pooled);
	}
	return spare + (count < limit ? limit - count : 0);
}

bool
session_set_is_slow_at(const struct list *sessions, const struct address *endpoint)
{
	for (struct list *link = sessions->next; link != sessions; link = link->next) {
		if (pooled_session_is_stuck_at(pooled_session_of(link), endpoint))
			return true;
	}
	return false;
}

bool
session_set_is_unproven_at(const struct list *sessions, const struct address *endpoint)
{
	bool is_opening = false;

	for (struct list *link = sessions->next; link != sessions; link = link->next) {
		const struct pooled_session *pooled = pooled_session_of(link);
		if (pooled_session_has_reached(pooled, endpoint))
			return false;
		is_opening |= pooled_session_is_opening(pooled, endpoint);
	}
	return is_opening;
}

bool
session_set_is_held_up_by(const struct list *sessions, const struct address *endpoint)
{
	for (struct list *link = sessions->next; link != sessions; link = link->next) {
		if (pooled_session_is_held_up_by(pooled_session_of(link), endpoint))
			return true;
	}
	return false;
}

unsigned
session_set_serves_within(const struct list *sessions, uint64_t span_us)
{
	unsigned sum = 0;

	for (struct list *link = sessions->next; link != sessions; link = link->next) {
		unsigned count = pooled_session_serves_within(pooled_session_of(link), span_us);
		sum = count > UINT_MAX - sum ? UINT_MAX : sum + count;
	}
	return sum;
}

struct pooled_session *
session_set_best(const struct list *sessions)
{
	struct pooled_session *best = NULL;

	for (struct list *link = sessions->next; link != sessions; link = link->next) {
		struct pooled_session *pooled = pooled_session_of(link);
		if (pooled_session_is_free(pooled) &&
		    (best == NULL ||
		     pooled_session_channel_count(pooled) < pooled_session_channel_count(best)))
			best = pooled;
	}
	return best;
}
