#include "tunnel/headcount.h"

#include "base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>

struct headcount {
	atomic_int references;
	atomic_int clients;
};

struct headcount *
headcount_new(void)
{
	struct headcount *headcount = memory_zero(sizeof *headcount);

	atomic_init(&headcount->references, 1);
	return headcount;
}

struct headcount *
headcount_ref(struct headcount *headcount)
{
	(void)atomic_fetch_add_explicit(&headcount->references, 1, memory_order_relaxed);
	return headcount;
}

void
headcount_unref(struct headcount *headcount)
{
	if (headcount != NULL &&
	    atomic_fetch_sub_explicit(&headcount->references, 1, memory_order_acq_rel) == 1)
		free(headcount);
}

bool
headcount_add(struct headcount *headcount, int limit)
{
	int now = atomic_fetch_add_explicit(&headcount->clients, 1, memory_order_relaxed) + 1;

	if (limit == 0 || now <= limit)
		return true;
	headcount_remove(headcount);
	return false;
}

void
headcount_remove(struct headcount *headcount)
{
	(void)atomic_fetch_sub_explicit(&headcount->clients, 1, memory_order_relaxed);
}

int
headcount_get(const struct headcount *headcount)
{
	return atomic_load_explicit(&headcount->clients, memory_order_relaxed);
}
