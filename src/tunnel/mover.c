#include "tunnel/mover.h"

#include "redis/conversation.h"
#include "tunnel/relay.h"
#include "tunnel/watch.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

enum mover_state {
	MOVER_STAYING,
	MOVER_LEAVING, /* at the next quiet point, or when the time is up */
};

struct mover {
	struct mover_request request;
	enum mover_state state; /* written by leave() only */
	struct relay *relay;    /* borrowed; NULL until it begins */
	struct watch_user user;
	struct event timer; /* TIMEOUTmove */
	struct conversation conversation;
};

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct mover *mover = arg;

	relay_cut(mover->relay);
}

static void
leave(struct mover *mover, const char *why)
{
	const struct timeval timeout = {.tv_sec = mover->request.timeout_s};

	if (mover->state == MOVER_LEAVING)
		return;
	mover->state = MOVER_LEAVING;
	log_write(mover->request.log, LOG_LEVEL_INFO,
		  "Service [%s]: the server is no longer the primary: %s; closing as soon as no "
		  "reply is outstanding",
		  mover->request.service, why);
	(void)event_add(&mover->timer, &timeout);
	relay_leave(mover->relay);
}

static void
on_moved(void *arg, const char *why)
{
	leave(arg, why);
}

struct mover *
mover_new(const struct mover_request *request)
{
	struct mover *mover = calloc(1, sizeof *mover);

	if (mover == NULL)
		return NULL;
	mover->request = *request;
	mover->user.address = request->address;
	mover->user.chosen_us = request->chosen_us;
	mover->user.on_moved = on_moved;
	mover->user.arg = mover;
	list_init(&mover->user.link);
	conversation_init(&mover->conversation);
	(void)event_assign(&mover->timer, request->base, -1, 0, on_timer, mover);
	return mover;
}

void
mover_free(struct mover *mover)
{
	if (mover == NULL)
		return;
	watch_leave(&mover->user);
	(void)event_del(&mover->timer);
	free(mover);
}

void
mover_begin(struct mover *mover, struct relay *relay)
{
	mover->relay = relay;
	watch_join(mover->request.watch, &mover->user);
}

void
mover_observe(struct mover *mover, bool is_from_client, const unsigned char *bytes, size_t length)
{
	if (is_from_client) {
		conversation_on_request(&mover->conversation, bytes, length);
	} else if (conversation_on_reply(&mover->conversation, bytes, length)) {
		watch_report_demoted(mover->request.watch, &mover->request.address);
		leave(mover, "it refuses writes (READONLY)");
	}
}

bool
mover_is_quiet(const struct mover *mover)
{
	return conversation_is_quiet(&mover->conversation);
}
