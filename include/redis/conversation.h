#ifndef CACHETUNNEL_REDIS_CONVERSATION_H
#define CACHETUNNEL_REDIS_CONVERSATION_H

#include "redis/scan.h"

/*
 * What the bytes of a connection tell about its requests and replies: how many replies are
 * outstanding, and whether the server has said that it is no primary. It counts; it knows no
 * commands. So commands without a reply of their own (CLIENT REPLY OFF, SUBSCRIBE in RESP3) keep
 * a connection looking busy, and what comes unasked for (messages in RESP2) is not counted.
 */

struct conversation {
	struct scan requests;
	struct scan replies;
	uint64_t outstanding; /* requests that have no reply yet */
	bool is_lost;         /* the bytes are no Redis protocol */
};

void conversation_init(struct conversation *conversation);

/* What the client says, in order. */
void conversation_on_request(struct conversation *conversation, const unsigned char *bytes,
			     size_t length);

/* What the server says. Returns whether a reply has ended that begins with -READONLY: a write to
 * a replica, or to a primary that is one no more. Only replies that are nothing but an error
 * count, not what stands inside of others. */
bool conversation_on_reply(struct conversation *conversation, const unsigned char *bytes,
			   size_t length);

/* Whether both sides are between two messages, and no reply is outstanding. */
bool conversation_is_quiet(const struct conversation *conversation);

#endif
