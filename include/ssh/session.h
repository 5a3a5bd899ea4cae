#ifndef CACHETUNNEL_SSH_SESSION_H
#define CACHETUNNEL_SSH_SESSION_H

#include "base/err.h"
#include "base/log.h"
#include "stream/stream.h"

#include <stdbool.h>

/*
 * A live login to a bastion, over any stream: key exchange, host key, authentication, and then
 * channels, each of them a stream again. It belongs to one worker. It neither connects nor
 * reconnects; the pool above does.
 *
 * libssh2 never touches a socket here: what arrives is put into a buffer that it reads from,
 * what it sends is collected and written once a turn. So no call ever leaves half a packet
 * behind, and whenever bytes were read every channel that has data is woken
 * (ARCHITECTURE.md, "SSH").
 */

struct address;
struct bastion;
struct event_base;
struct ssh_credentials;
struct ssh_login_memory;
struct ssh_session;

struct ssh_session_request {
	struct event_base *base; /* borrowed, as all here, while the session lives */
	const struct bastion *bastion;
	const struct ssh_credentials *credentials;
	struct ssh_login_memory *memory; /* shared by a bastion's sessions */
	const struct log_scope *log;
	/* The session may open a channel again, after it was occupied on its own account; with the
	 * same `arg` as the others. */
	void (*on_free)(void *arg);
	/* The server is the one that was meant: `key` (borrowed for the call) tells which key it
	 * showed, and why that is accepted. The login follows. NULL: nobody wants to know. */
	void (*on_host_accepted)(void *arg, const char *key);
};

/* `err` is NULL: logged in, channels may be opened. Else it failed, and the session is only good
 * for closing; `is_refused`: the server or its key was the reason, and trying again soon would
 * not help. Never called from inside a start. */
typedef void ssh_session_ready_cb(void *arg, const struct err *err, bool is_refused);

/* After it was ready: the session is gone. Its channels say so too. */
typedef void ssh_session_lost_cb(void *arg, const struct err *err);

/* The channel is open (`channel` is owned by the callee), or `err` says why not. Never called
 * from inside ssh_session_open(). */
typedef void ssh_channel_open_cb(void *arg, struct stream *channel, const struct err *err);

/* Logs in over `lower`, which it takes, also on failure. Returns owned; NULL with `err`. */
struct ssh_session *ssh_session_start(const struct ssh_session_request *request,
				      struct stream *lower, ssh_session_ready_cb *on_ready,
				      ssh_session_lost_cb *on_lost, void *arg, struct err *err);

/* Says goodbye and lets go; no callback comes any more. Channels that are still held fail from
 * now on, and the memory goes with the last of them. NULL is fine. Never from inside a callback
 * of the session or of a stream above it. */
void ssh_session_close(struct ssh_session *session);

/* Begins to open a channel to `endpoint` (borrowed for the call; a unix path is one on the
 * bastion). Only when ready and while no other open is under way: the protocol would allow more,
 * libssh2 does not. */
void ssh_session_open(struct ssh_session *session, const struct address *endpoint,
		      ssh_channel_open_cb *on_open, void *arg);

/* Whether an open is under way. None can be given up: the session stays occupied until the server
 * has answered, which for an endpoint that drops packets silently may take a minute. */
bool ssh_session_is_opening(const struct ssh_session *session);

/* For how long that has been, in microseconds. While none is under way, the last one began then. */
uint64_t ssh_session_opening_us(const struct ssh_session *session);

/* After it failed because the host key was not the pinned one: whether the server has others, which
 * the next session with the same memory will ask for. */
bool ssh_session_asks_again(const struct ssh_session *session);

/* How it logged in, for people: "'user' by ssh-ed25519 /path". Once it is ready; borrowed. */
const char *ssh_session_describe_login(const struct ssh_session *session);

/* Whether a person seems to have been asked for the login: to confirm the use of a key, to touch a
 * token, to answer questions. Once it is ready. */
bool ssh_session_needs_person(const struct ssh_session *session);

/* How many channels are held. */
unsigned ssh_session_channel_count(const struct ssh_session *session);

/* Asks for a sign of life now, rather than when `aliveInterval` is over, and forgets what was not
 * answered before. Harmless before it is ready, and without that option. */
void ssh_session_probe(struct ssh_session *session);

#endif
