#ifndef CACHETUNNEL_STREAM_TLS_SESSIONS_H
#define CACHETUNNEL_STREAM_TLS_SESSIONS_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <time.h>

/*
 * TLS sessions to resume, for one service in one worker: a stack for each of its endpoints.
 * Each connection brings new tickets; how long they may be used counts from the last full
 * handshake, because only that looks at the server's certificate.
 *
 * A TLS 1.3 ticket is used once (RFC 8446, C.4), except for the last one there is: a second
 * full handshake would cost more than an observer could learn, and the server decides anyway.
 */

struct tls_sessions;

/* For `endpoint_count` endpoints, `limit` sessions in all, each for `timeout_s` seconds at most.
 * Returns owned; NULL when memory ran out. */
struct tls_sessions *tls_sessions_new(size_t endpoint_count, size_t limit, int timeout_s);

void tls_sessions_free(struct tls_sessions *sessions); /* NULL is fine */

/* Keeps `session` (takes it) for this endpoint; the oldest one makes room if need be.
 * `verified_at` is the time of the full handshake that it goes back to. */
void tls_sessions_put(struct tls_sessions *sessions, size_t endpoint, SSL_SESSION *session,
		      time_t verified_at);

/* The youngest usable session for this endpoint. Returns owned, for SSL_SESSION_free(), and fills
 * `ret_verified_at`; NULL when there is none. */
SSL_SESSION *tls_sessions_take(struct tls_sessions *sessions, size_t endpoint,
			       time_t *ret_verified_at);

/* Makes the context's streams hand in each session that a server gives (with TLS 1.3 that is
 * after the handshake), for the endpoint that their app data, a struct tls_peer, names. */
void tls_sessions_collect(SSL_CTX *context);

#endif
