#ifndef CACHETUNNEL_SSH_SESSION_INTERNAL_H
#define CACHETUNNEL_SSH_SESSION_INTERNAL_H

#include "base/buffer.h"
#include "base/list.h"
#include "ssh/session.h"

#include <event2/event_struct.h>
#include <libssh2.h>
#include <stdint.h>

/*
 * What session.c, transport.c, open.c, alive.c, channel.c, explain.c and login.c share, and nobody
 * else. session.c owns the struct and drives it; channel.c is the streams on top; transport.c the
 * bytes below.
 */

struct ssh_login;

enum ssh_session_state {
	SSH_SESSION_GREETING, /* banners and key exchange */
	SSH_SESSION_LOGIN,
	SSH_SESSION_READY,
	SSH_SESSION_ENDED,
};

/* A channel whose stream is gone and that the server has not closed yet. */
struct closing_channel {
	struct list link;         /* in session->closing */
	LIBSSH2_CHANNEL *channel; /* owned */
};

struct ssh_open {
	bool is_pending;              /* libssh2 waits for the server's answer */
	ssh_channel_open_cb *on_open; /* NULL: none is under way, or it is only a probe */
	void *arg;
	uint64_t began_us; /* the last one */
	char *type;        /* owned, as the next two: what libssh2 must be asked again with */
	unsigned char *message;
	size_t message_length;
	char endpoint[160]; /* for messages */
};

/* alive.c's: whether the server still says anything. */
struct ssh_alive {
	uint64_t received_us; /* when something came last; written by transport.c */
	uint64_t looked_us;   /* when that was looked at last */
	bool is_silent;       /* nothing had come since the look before */
	bool has_asked;       /* for a sign of life; and nothing has come since */
	int unanswered;       /* at so many looks in a row */
};

struct ssh_session {
	struct ssh_session_request request;
	ssh_session_ready_cb *on_ready; /* NULL once it was called */
	ssh_session_lost_cb *on_lost;   /* NULL once it was called, or closed */
	void *arg;
	enum ssh_session_state state; /* written by session.c's set_state() only */
	bool is_closed;               /* by its owner; memory goes with the last channel */

	LIBSSH2_SESSION *ssh;    /* owned */
	int unused_fd;           /* owned; libssh2 insists on a descriptor and never uses it */
	struct ssh_login *login; /* owned; while logging in */
	struct ssh_open open;
	struct list channels; /* of struct ssh_channel; each owned by who holds the stream */
	unsigned channel_count;
	struct list closing;  /* channels whose streams are gone and that the server still has */
	char login_text[160]; /* how it logged in */
	bool needs_person;    /* for that */
	bool asks_again;      /* for another host key */
	struct err why;       /* it ended */
	struct ssh_alive alive;
	bool is_shut_out;   /* by the server, before the login; it will not want us soon */
	char farewell[128]; /* the server's reason for disconnecting, escaped; empty: none */

	/* transport.c's */
	struct stream *lower;   /* owned */
	struct buffer in;       /* arrived, and not read by libssh2 yet */
	struct buffer out;      /* sent by libssh2, and not written yet */
	bool has_lower_ended;   /* `why` says how */
	struct buffer greeting; /* the first of what arrived, until the host key is accepted */

	struct event timer;    /* of the present state, later for keepalives */
	struct event turn;     /* go on at the end of this turn of the loop */
	bool must_step;        /* then not only to write what was collected */
	struct event answer;   /* tell on_open's callee, later */
	struct stream *opened; /* for `answer`; owned until then */
	struct err open_err;
};

/* transport.c */

/* Makes libssh2 use our buffers. */
void ssh_transport_attach(struct ssh_session *session);

/* Reads what has arrived, and says by must_step whether that was anything. */
void ssh_transport_read(struct ssh_session *session);

/* Writes what is collected, as far as the stream below takes it. */
void ssh_transport_flush(struct ssh_session *session);

/* Whether so much is collected that channels must wait. */
bool ssh_transport_is_full(const struct ssh_session *session);

/* session.c */

/* At the end of this turn of the loop: writes what was collected. */
void ssh_session_flush_later(struct ssh_session *session);

/* The same, after going through all that may have changed. */
void ssh_session_go_on_later(struct ssh_session *session);

/* Closes a channel that nobody holds any more; takes it. */
void ssh_session_drop_channel(struct ssh_session *session, LIBSSH2_CHANNEL *channel);

/* A channel's stream is gone, and is counted no more: the last one takes a closed session's
 * memory with it. */
void ssh_session_release_channel(struct ssh_session *session, LIBSSH2_CHANNEL *channel);

/* explain.c: fills `why` */

/* What the server sent until its host key was accepted; borrowed. */
struct wire_span ssh_session_greeting(const struct ssh_session *session);

bool ssh_session_has_version(const struct ssh_session *session);

/* The stream below has ended, and `why` says how: adds in what. */
void ssh_explain_lower_end(struct ssh_session *session);

/* libssh2 has just given up the handshake with this error. */
void ssh_explain_failed_greeting(struct ssh_session *session, int result);

/* libssh2 has just failed with this error, and cannot go on. */
void ssh_explain_broken(struct ssh_session *session, int result);

/* The state has taken too long. */
void ssh_explain_timeout(struct ssh_session *session);

/* channel.c */

/* Returns the stream of `channel`, which it takes; NULL: no memory. */
struct stream *ssh_channel_new(struct ssh_session *session, LIBSSH2_CHANNEL *channel);

/* One of the session's channels, whichever; NULL: there is none. */
LIBSSH2_CHANNEL *ssh_channel_any(const struct ssh_session *session);

/* Tells every channel's holder what it waits for and what there is. */
void ssh_channel_wake_all(struct ssh_session *session);

/* open.c: the one open that may be under way */

/* 0, or the error of libssh2 that ends the session. */
int ssh_open_step(struct ssh_session *session);
void ssh_open_answer(struct ssh_session *session); /* tells who asked; from the loop */
void ssh_open_clear(struct ssh_session *session);

/* Asks for a channel of a kind that does not exist: the refusal is a sign of life. False while an
 * open is under way, which may wait for an endpoint: then nobody was asked. */
bool ssh_open_probe(struct ssh_session *session);

/* alive.c */

/* Looks whether something has come since the last look. False: the server was asked, and has been
 * silent for aliveCount looks. */
bool ssh_alive_look(struct ssh_session *session);

/* Asks for a sign of life, after a look; not while an open is in the way and the server says other
 * things. 0, or the error of libssh2 that ends the session. */
int ssh_alive_ask(struct ssh_session *session);

/* What was asked before does not count any more, and the next look finds silence: after a sleep. */
void ssh_alive_forget(struct ssh_session *session);

/* login.c */

/* Both borrow the session. NULL: no memory. */
struct ssh_login *ssh_login_new(struct ssh_session *session);
void ssh_login_free(struct ssh_login *login); /* NULL is fine */

/* Whether somebody seems to have been asked for it: a login that nobody wants to repeat. */
bool ssh_login_needs_person(const struct ssh_login *login);

/* Which way was accepted, after STREAM_OK: "'user' by ssh-ed25519 /path". Returns `out`. */
char *ssh_login_describe(const struct ssh_login *login, char *out, size_t size);

/* Goes as far as the server's answers allow: STREAM_OK logged in, STREAM_AGAIN waits, else `err`
 * says why not. */
enum stream_result ssh_login_step(struct ssh_login *login, struct err *err);

#endif
