#ifndef CACHETUNNEL_SSH_AGENT_MESSAGE_H
#define CACHETUNNEL_SSH_AGENT_MESSAGE_H

#include "base/buffer.h"
#include "base/err.h"
#include "ssh/agent.h"
#include "ssh/wire.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The messages of an SSH agent's protocol, as bytes: what agent.c writes and what it reads. An
 * answer is of unknown origin and may hold anything; errors say what it did, so that they read
 * well after "the agent at '…': ".
 */

enum {
	AGENT_MESSAGE_HEADER = 4,         /* the length that each begins with */
	AGENT_MESSAGE_LIMIT = 256 * 1024, /* as OpenSSH's own agent and client have it */
	AGENT_IDENTITY_LIMIT = 64,        /* servers let nobody try as many */
};

struct agent_identities {
	struct buffer message; /* owned; what the items point into */
	struct agent_identity items[AGENT_IDENTITY_LIMIT];
	size_t count;
};

void agent_identities_done(struct agent_identities *identities);

/* Append a request. False with `err`: no memory, or more than an agent takes. */
bool agent_message_put_list(struct buffer *out, struct err *err) ATTR_MUST_CHECK;
bool agent_message_put_sign(struct buffer *out, const struct agent_identity *signer,
			    const unsigned char *data, size_t length, unsigned flags,
			    struct err *err) ATTR_MUST_CHECK;

/* Read the answer: one whole message, its header included and at least one byte after that,
 * with nothing consumed before it. */

/* Takes what `answer` holds on success. Identities beyond the limit are passed over. `*ret` must
 * be empty. */
bool agent_message_read_list(struct buffer *answer, struct agent_identities *ret,
			     struct err *err) ATTR_MUST_CHECK;

/* `*ret` lies in the answer. `flags` are those of the request. */
bool agent_message_read_signature(const struct buffer *answer, unsigned flags,
				  struct wire_span *ret, struct err *err) ATTR_MUST_CHECK;

#endif
