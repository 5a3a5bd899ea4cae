#ifndef CACHETUNNEL_SSH_AGENT_H
#define CACHETUNNEL_SSH_AGENT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A client for an SSH agent (draft-ietf-sshm-ssh-agent), over its unix socket, without blocking:
 * an agent may ask a person before it signs. One request at a time, each over a connection of
 * its own, so that an agent that was restarted meanwhile is no matter. It trusts the agent with
 * nothing but the keys: what it answers is checked, and bounded.
 *
 * SIGPIPE must be ignored in the process.
 */

struct event_base;
struct agent;

/* All of it is owned by the agent. */
struct agent_identity {
	const unsigned char *blob; /* the public key, RFC 4253, 6.6; begins with its algorithm */
	size_t length;
	const char *comment; /* escaped for logs already, and cut at 255 bytes */
};

enum agent_sign_flag {
	AGENT_SIGN_RSA_SHA2_256 = 2,
	AGENT_SIGN_RSA_SHA2_512 = 4,
};

/* The identities are there (64 at most; none is no error: a locked agent has none), and `err` is
 * NULL; or `err` says why not. Never called from inside a start. May start the next request. */
typedef void agent_list_cb(void *arg, const struct agent_identity *identities, size_t count,
			   const struct err *err);

/* The signature is there: the whole of SSH's signature format (string algorithm, string
 * signature), borrowed for the call; or NULL and `err`. Never called from inside a start. May
 * start the next request. */
typedef void agent_sign_cb(void *arg, const unsigned char *signature, size_t length,
			   const struct err *err);

/* Does not connect yet. `base` is borrowed and outlives the agent; `path` is copied. Returns
 * owned; NULL: no memory. */
struct agent *agent_new(struct event_base *base, const char *path);

/* Cancels what is under way; its callback will not come. NULL is fine. Not from inside one of
 * its callbacks. */
void agent_free(struct agent *agent);

/* Asks for the identities; they stay valid until the agent is freed or asked for them again.
 * Gives up when there is no answer within `timeout_s` seconds (at least 1). A request that is
 * still under way is cancelled. */
void agent_start_list(struct agent *agent, int timeout_s, agent_list_cb *on_done, void *arg);

/* Asks for a signature of `data` (copied) by identity `index` of the last list. `flags` is a set
 * of enum agent_sign_flag, and matters to RSA only: a signature of another hash than the one
 * asked for is an error. Time-out and cancelling are as for agent_start_list(). */
void agent_start_sign(struct agent *agent, size_t index, const unsigned char *data, size_t length,
		      unsigned flags, int timeout_s, agent_sign_cb *on_done, void *arg);

#endif
