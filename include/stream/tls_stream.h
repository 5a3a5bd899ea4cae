#ifndef CACHETUNNEL_STREAM_TLS_STREAM_H
#define CACHETUNNEL_STREAM_TLS_STREAM_H

#include "stream/stream.h"

struct tls_certificate;
struct tls_context;
struct tls_sessions;

/*
 * TLS, as a client, over any stream below it. It is a stream for data once its handshake is
 * done; until then only the functions here may be used on it.
 */

struct tls_stream_request {
	const struct tls_context *context; /* borrowed; outlives the stream */
	struct tls_sessions *sessions;     /* borrowed; NULL: do not resume */
	size_t endpoint;                   /* which of the service's: chooses the sessions */
	const char *host; /* the endpoint's name or address, for checks and for SNI; borrowed, and
			   * outlives the stream; NULL for a unix socket */
};

/* The handshake is over. `err` is NULL if it went well; else the stream is only good for
 * freeing. Never called from inside a call made here. */
typedef void tls_handshake_cb(void *arg, const struct err *err);

/* Begins a handshake over `lower`, which it takes (also on failure). Returns owned; freeing it
 * cancels the handshake, and then `on_done` is never called. NULL, with `err` filled, when memory
 * ran out. */
struct stream *tls_stream_start(const struct tls_stream_request *request, struct stream *lower,
				tls_handshake_cb *on_done, void *arg, struct err *err);

/* After the handshake. Static texts: "TLSv1.3", "TLS_AES_256_GCM_SHA384". */
const char *tls_stream_version(const struct stream *stream);
const char *tls_stream_cipher(const struct stream *stream);
bool tls_stream_is_resumed(const struct stream *stream);

/* Whether the server asked for a certificate of ours, be it that it insists or not: with TLS 1.3
 * it says so only after the handshake, if it comes to that. */
bool tls_stream_has_asked_for_us(const struct stream *stream);

/* Describes the server's certificate; also after a handshake that failed because of it. False
 * where the server has shown none. */
bool tls_stream_get_certificate(const struct stream *stream,
				struct tls_certificate *ret_certificate);

#endif
