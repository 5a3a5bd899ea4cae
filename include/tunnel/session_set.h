#ifndef CACHETUNNEL_TUNNEL_SESSION_SET_H
#define CACHETUNNEL_TUNNEL_SESSION_SET_H

#include "base/list.h"
#include "config/address.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What the sessions of a pool are good for together: questions about a list of struct
 * pooled_session, which answer how the pool grows and who gets which session.
 */

struct pooled_session;

/* Whether one of them serves others, now or soon. */
bool session_set_is_useful(const struct list *sessions);

/* How many are on their way, and how many there are in all, which is what the bastion counts too. */
void session_set_count(const struct list *sessions, unsigned *ret_coming, unsigned *ret_count);

/* How many opens may begin before all sessions that there may be, `limit`, are occupied. */
unsigned session_set_spare(const struct list *sessions, unsigned limit);

/* Whether an endpoint keeps a session waiting already; then others for it wait in line, so that
 * one that never answers occupies few sessions. */
bool session_set_is_slow_at(const struct list *sessions, const struct address *endpoint);

/* Whether nobody knows yet if the endpoint answers: an open to it is under way, and none has
 * succeeded lately. Many who come at once would hold up everybody if it does not. */
bool session_set_is_unproven_at(const struct list *sessions, const struct address *endpoint);

/* Whether one is occupied by an open to the endpoint that was given up. */
bool session_set_is_held_up_by(const struct list *sessions, const struct address *endpoint);

/* How many requests that wait in line they serve by themselves within `span_us`, as far as can be
 * told (pooled_session_serves_within()). */
unsigned session_set_serves_within(const struct list *sessions, uint64_t span_us);

/* The free session with the fewest channels, since every channel costs its neighbours a little;
 * NULL: none is free. */
struct pooled_session *session_set_best(const struct list *sessions);

#endif
