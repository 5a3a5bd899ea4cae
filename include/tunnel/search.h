#ifndef CACHETUNNEL_TUNNEL_SEARCH_H
#define CACHETUNNEL_TUNNEL_SEARCH_H

#include "tunnel/dialer.h"

/*
 * Finds a server for one client: dials, and while the endpoint cannot be reached, waits with the
 * others in the service's hold and dials again, for the time that TIMEOUThold gives. A failure
 * that waiting would not mend (a wrong certificate, a name that does not exist) ends it at once.
 */

struct generation;
struct search;

struct search_request {
	struct generation *generation; /* borrowed, as all here, until it is freed */
	const struct setup_service *service;
	const struct log_scope *log;
};

/* Returns a handle; NULL: no memory. The callback comes once, never from inside search_start(),
 * and the handle stays valid for search_free(). */
struct search *search_start(const struct search_request *request, dial_done_cb *on_done, void *arg);

/* Ends it if it has not ended: the callback will not come. Never from inside the callback. NULL
 * is fine. */
void search_free(struct search *search);

#endif
