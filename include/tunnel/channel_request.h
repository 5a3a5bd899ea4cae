#ifndef CACHETUNNEL_TUNNEL_CHANNEL_REQUEST_H
#define CACHETUNNEL_TUNNEL_CHANNEL_REQUEST_H

#include "base/err.h"
#include "base/list.h"
#include "tunnel/session_pool.h"

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Somebody's wish for a channel, who waits in line until a session takes it. The line is a list of
 * its pool (session_pool.c, the only user), which decides who is next.
 */

struct bastion;
struct pooled_session;

struct channel_request {
	struct list link; /* in the line, while no session has taken it */
	struct session_pool *pool;
	const struct bastion *bastion;
	struct pooled_session *session; /* that has taken it; NULL: none yet */
	const struct address *endpoint; /* borrowed */
	session_pool_channel_cb *on_open;
	void *arg;
	uint64_t since_us;     /* when it joined the line */
	struct event deadline; /* for the whole of it */
	bool is_overdue;       /* so it must not wait in line again */
};

/* Joins the end of the line. All is borrowed until it is over. It gives up by itself after as long
 * as a login and an open may take. NULL: no memory. */
struct channel_request *channel_request_new(struct list *line, struct session_pool *pool,
					    const struct session_pool_request *way,
					    const struct address *endpoint,
					    session_pool_channel_cb *on_open, void *arg);

/* Tells whoever asked, and frees it: `channel` is theirs, or `err` says why there is none. */
void channel_request_end(struct channel_request *request, struct stream *channel,
			 const struct err *err);

/* The session that took it is gone: it waits again, first in line. If its time was over meanwhile,
 * it gives up instead. */
void channel_request_return(struct channel_request *request, struct list *line);

/* Ends it, as its endpoint still keeps a session waiting and the last one is not for it. */
void channel_request_refuse(struct channel_request *request);

/* Tells those in line who wait for `endpoint`; NULL: all. Those who are told may ask again, but not
 * cancel others' requests. */
void channel_request_fail_all(struct list *line, const struct address *endpoint,
			      const struct err *err);

/* Frees it without a word. */
void channel_request_free(struct channel_request *request);

#endif
