#ifndef CACHETUNNEL_TUNNEL_HEADCOUNT_H
#define CACHETUNNEL_TUNNEL_HEADCOUNT_H

#include "base/attributes.h"

#include <stdbool.h>

/*
 * How many clients there are, of one service or of all of them. It outlives setups: a reload hands
 * it on, so that limits count those clients too who came before. Any thread.
 */

struct headcount;

/* Returns one owned reference; nobody is counted yet. */
struct headcount *headcount_new(void);

struct headcount *headcount_ref(struct headcount *headcount);
void headcount_unref(struct headcount *headcount); /* NULL is fine */

/* Counts one more, unless that makes more than `limit` (0: none). */
bool headcount_add(struct headcount *headcount, int limit) ATTR_MUST_CHECK;
void headcount_remove(struct headcount *headcount);

int headcount_get(const struct headcount *headcount);

#endif
