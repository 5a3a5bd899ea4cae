#ifndef CACHETUNNEL_TUNNEL_RELAY_H
#define CACHETUNNEL_TUNNEL_RELAY_H

#include "base/err.h"
#include "stream/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Moves bytes between two streams, both ways, until both directions have ended or something
 * breaks. It knows neither TLS nor Redis nor services, and it owns no stream.
 *
 * Each direction reads into the worker's scratch space and writes from there. Only what could
 * not be written is kept, and while anything is kept, that direction does not read: so memory is
 * bounded by the scratch space, and a slow reader slows its sender and nobody else.
 */

struct buffer;
struct event_base;
struct relay;

/* Space that every relay of a worker reads into; nothing in it outlives one callback. */
struct scratch {
	unsigned char *bytes;
	size_t size;
};

enum relay_end {
	RELAY_CLIENT_ENDED, /* the client said end-of-file first, and the server then followed or
			     * was quiet for close_s */
	RELAY_SERVER_ENDED, /* the same, the server first */
	RELAY_CLIENT_RESET,
	RELAY_SERVER_RESET,
	RELAY_CLIENT_FAILED,
	RELAY_SERVER_FAILED,
	RELAY_REFUSED, /* inspect() said so */
	RELAY_IDLE,    /* nothing moved for idle_s */
	RELAY_LEFT,    /* relay_leave(), and the moment was there */
	RELAY_CUT,     /* relay_cut() */
	RELAY_DRAINED, /* relay_drain(), and no reply is outstanding */
	RELAY_NO_MEMORY,
};

/* The relay is over and touches its streams no more. `err` says more where there is more to say
 * (it may be empty). Never called from inside relay_new(). */
typedef void relay_end_cb(void *arg, enum relay_end end, const struct err *err);

/* Sees the client's first bytes before they go on. False, with `err` filled, ends the relay. */
typedef bool relay_inspect_cb(void *arg, const unsigned char *bytes, size_t length,
			      struct err *err);

/* Sees whatever passes, piece by piece, after it was passed on or kept for that. */
typedef void relay_observe_cb(void *arg, bool is_from_client, const unsigned char *bytes,
			      size_t length);

/* Whether the relay may end now, for relay_leave(). */
typedef bool relay_is_quiet_cb(void *arg);

struct relay_settings {
	struct event_base *base; /* borrowed, as all here */
	struct scratch *scratch;
	int idle_s;  /* nothing moving either way; 0: for ever */
	int close_s; /* nothing moving after one side has ended; 0: do not wait */
	int last_s;  /* the last bytes being taken by nobody, where close_s is 0; 0: for ever */
	relay_inspect_cb *inspect;   /* NULL: nobody looks */
	relay_observe_cb *observe;   /* NULL: nobody looks */
	relay_is_quiet_cb *is_quiet; /* needed for relay_leave() */
	relay_end_cb *on_end;
	void *arg; /* for all of them */
};

/* Starts at once; `client` and `server` are borrowed, and their handlers are the relay's until it
 * is over. `early` holds what the client has said already, and is emptied: its bytes go to the
 * server first. Returns owned; NULL when memory ran out (`early` is then unchanged). */
struct relay *relay_new(struct stream *client, struct stream *server,
			const struct relay_settings *settings, struct buffer *early);

/* Stops and frees it; the callback will not come. Never from inside a callback of the relay or
 * of its streams. NULL is fine. */
void relay_free(struct relay *relay);

/* Ends the relay as soon as is_quiet() says so and nothing waits to be written: not at once, but
 * perhaps before the loop's next turn. */
void relay_leave(struct relay *relay);

/* Ends it now. Harmless when it is over. Not from inside a callback of the relay. */
void relay_cut(struct relay *relay);

/* From now on it ends as soon as it is at rest: nothing waits to be written, no reply is
 * outstanding (tunnel/exchange.h), and it was so for a tenth of a second. Never ends it at once. */
void relay_drain(struct relay *relay);

/* Bytes passed on so far. */
uint64_t relay_bytes_to_server(const struct relay *relay);
uint64_t relay_bytes_to_client(const struct relay *relay);

#endif
