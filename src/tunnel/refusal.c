#include "tunnel/refusal.h"

#include "base/attributes.h"
#include "base/err.h"
#include "stream/stream.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long the client has for its first word, and then for hanging up. */
static const struct timeval patience = {.tv_sec = 1};

enum refusal_state {
	REFUSAL_WAITING, /* for the client's first word */
	REFUSAL_TOLD,    /* until the client hangs up */
	REFUSAL_OVER,
};

struct refusal {
	struct refusal_request request; /* without the text */
	enum refusal_state state;       /* written by set_state() only */
	struct event timer;             /* of the state */
	char line[ERR_TEXT_SIZE + 32];
};

static void
set_state(struct refusal *refusal, enum refusal_state state)
{
	assert(state > refusal->state);
	refusal->state = state;
	(void)event_add(&refusal->timer, &patience);
}

static void
end(struct refusal *refusal)
{
	set_state(refusal, REFUSAL_OVER);
	(void)event_del(&refusal->timer);
	stream_set_interest(refusal->request.client, 0);
	refusal->request.on_over(refusal->request.arg);
}

static void
tell(struct refusal *refusal)
{
	struct stream *client = refusal->request.client;
	size_t count = 0;

	set_state(refusal, REFUSAL_TOLD);
	/* It is the first that this client ever gets, so there is room for a line. */
	if (stream_write(client, refusal->line, strlen(refusal->line), &count, NULL) == STREAM_OK)
		(void)stream_shutdown(client, NULL);
}

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct refusal *refusal = arg;

	if (refusal->state == REFUSAL_WAITING)
		tell(refusal);
	else
		end(refusal);
}

static void
on_readable(void *arg, struct stream *client, unsigned ready ATTR_UNUSED)
{
	struct refusal *refusal = arg;
	const struct scratch *scratch = refusal->request.scratch;
	size_t count = 0;

	switch (stream_read(client, scratch->bytes, scratch->size, &count, NULL)) {
	case STREAM_AGAIN:
		return;
	case STREAM_OK:
		if (refusal->state == REFUSAL_WAITING)
			tell(refusal);
		return;
	case STREAM_EOF:
	case STREAM_RESET:
	case STREAM_FAILED:
		end(refusal);
		return;
	}
}

struct refusal *
refusal_start(const struct refusal_request *request)
{
	struct refusal *refusal = calloc(1, sizeof *refusal);
	int length = (int)strcspn(request->why, "\r\n");

	if (refusal == NULL)
		return NULL;
	refusal->request = *request;
	refusal->request.why = NULL;
	(void)snprintf(refusal->line, sizeof refusal->line, "-ERR cachetunnel: %.*s\r\n", length,
		       request->why);
	(void)event_assign(&refusal->timer, request->base, -1, 0, on_timer, refusal);
	(void)event_add(&refusal->timer, &patience);
	stream_set_handler(request->client, on_readable, refusal);
	stream_set_interest(request->client, STREAM_READ);
	if (request->has_spoken)
		tell(refusal);
	return refusal;
}

void
refusal_free(struct refusal *refusal)
{
	if (refusal == NULL)
		return;
	(void)event_del(&refusal->timer);
	stream_set_interest(refusal->request.client, 0);
	stream_set_handler(refusal->request.client, NULL, NULL);
	free(refusal);
}
