#include "tunnel/stats.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>

/* A connection next door takes half a millisecond, the longest time-out by default ten seconds. */
const double stats_bounds_s[STATS_BUCKET_COUNT] = {
	0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
};

/* Workers look at a name each dnsWatch (5 s), twice before they believe it. */
enum { SAME_MOVE_S = 60 };

static const char *const end_names[] = {
	[STATS_CLIENT_CLOSED] = "client_closed",
	[STATS_SERVER_CLOSED] = "server_closed",
	[STATS_CLIENT_RESET] = "client_reset",
	[STATS_SERVER_RESET] = "server_reset",
	[STATS_CLIENT_FAILED] = "client_failed",
	[STATS_SERVER_FAILED] = "server_failed",
	[STATS_CLIENT_LEFT] = "client_left",
	[STATS_NOT_CONNECTED] = "not_connected",
	[STATS_REFUSED] = "refused",
	[STATS_IDLE] = "idle",
	[STATS_MOVED] = "moved",
	[STATS_NO_MEMORY] = "no_memory",
	[STATS_STOPPED] = "stopped",
};

static const struct {
	const char *family;
	const char *name;
} failures[] = {
	[STATS_RESOLUTION_UNKNOWN] = {"resolution", "unknown_name"},
	[STATS_RESOLUTION_SERVER] = {"resolution", "name_server"},
	[STATS_RESOLUTION_TIMEOUT] = {"resolution", "timeout"},
	[STATS_RESOLUTION_OTHER] = {"resolution", "other"},
	[STATS_CONNECT_REFUSED] = {"connect", "refused"},
	[STATS_CONNECT_UNREACHABLE] = {"connect", "unreachable"},
	[STATS_CONNECT_TIMEOUT] = {"connect", "timeout"},
	[STATS_CONNECT_OTHER] = {"connect", "other"},
	[STATS_BASTION_HOST_KEY] = {"bastion", "host_key"},
	[STATS_BASTION_LOGIN] = {"bastion", "login"},
	[STATS_BASTION_OTHER] = {"bastion", "other"},
	[STATS_HANDSHAKE_NO_TLS] = {"handshake", "no_tls"},
	[STATS_HANDSHAKE_TIMEOUT] = {"handshake", "timeout"},
	[STATS_HANDSHAKE_CLOSED] = {"handshake", "closed"},
	[STATS_HANDSHAKE_OTHER] = {"handshake", "other"},
	[STATS_VERIFICATION_NAME] = {"verification", "wrong_name"},
	[STATS_VERIFICATION_EXPIRED] = {"verification", "expired"},
	[STATS_VERIFICATION_UNTRUSTED] = {"verification", "untrusted"},
	[STATS_VERIFICATION_REJECTED] = {"verification", "rejected"},
};

struct stats *
stats_new(const char *name)
{
	struct stats *stats = memory_zero(sizeof *stats);

	atomic_init(&stats->references, 1);
	stats->name = memory_copy_text(name);
	return stats;
}

struct stats *
stats_ref(struct stats *stats)
{
	if (stats != NULL)
		(void)atomic_fetch_add_explicit(&stats->references, 1, memory_order_relaxed);
	return stats;
}

void
stats_unref(struct stats *stats)
{
	if (stats == NULL ||
	    atomic_fetch_sub_explicit(&stats->references, 1, memory_order_acq_rel) > 1)
		return;
	free(stats->name);
	free(stats);
}

/* What stands for a server at a time: a hash of its name (FNV-1a), and the second. */
static unsigned long long
mark_move(const char *from, uint32_t second)
{
	uint32_t hash = UINT32_C(2166136261);

	for (; *from != '\0'; from++)
		hash = (hash ^ (unsigned char)*from) * UINT32_C(16777619);
	return (unsigned long long)hash << 32 | second;
}

void
stats_count_move(struct stats *stats, const char *from)
{
	uint32_t now_s = (uint32_t)(clock_now_us() / 1000000);
	unsigned long long mark = mark_move(from, now_s);
	unsigned long long last = stats_read(&stats->moved_from);

	do {
		if (last >> 32 == mark >> 32 && now_s - (uint32_t)last < SAME_MOVE_S)
			return;
	} while (!atomic_compare_exchange_weak_explicit(
		&stats->moved_from, &last, mark, memory_order_relaxed, memory_order_relaxed));
	stats_add(&stats->moves, 1);
}

void
stats_observe(struct stats_histogram *histogram, uint64_t took_us)
{
	double took_s = (double)took_us / 1e6;
	size_t bucket = 0;

	while (bucket < STATS_BUCKET_COUNT && took_s > stats_bounds_s[bucket])
		bucket++;
	stats_add(&histogram->buckets[bucket], 1);
	stats_add(&histogram->sum_us, took_us);
}

unsigned long long
stats_open_tunnels(const struct stats *stats)
{
	unsigned long long ended = 0;

	/* Ends first: a tunnel that ends meanwhile is then still open, at worst. */
	for (size_t i = 0; i < STATS_END_COUNT; i++)
		ended += stats_read(&stats->ended[i]);
	unsigned long long opened = stats_read(&stats->opened);
	return opened > ended ? opened - ended : 0;
}

const char *
stats_end_name(enum stats_end end)
{
	return end_names[end];
}

const char *
stats_failure_family(enum stats_failure failure)
{
	return failures[failure].family;
}

const char *
stats_failure_name(enum stats_failure failure)
{
	return failures[failure].name;
}
