#ifndef CACHETUNNEL_STREAM_TLS_PEER_H
#define CACHETUNNEL_STREAM_TLS_PEER_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/*
 * Whom one TLS stream speaks to. It is the app data of every SSL here, so that OpenSSL's
 * callbacks (verification, new sessions) find what they need.
 */

struct err;
struct service_options;
struct tls_sessions;

struct tls_peer {
	const struct service_options *options; /* borrowed */
	const char *host;              /* the endpoint's, borrowed; NULL for a unix socket */
	struct tls_sessions *sessions; /* borrowed, the worker's; NULL: do not resume */
	size_t endpoint;               /* which of the service's */
	time_t verified_at; /* when the session that we offer began with a full handshake */

	struct err *err;       /* where a refusal is explained; set before each call into OpenSSL */
	bool has_asked_for_us; /* the server wanted a certificate of ours */
	bool is_refused;       /* the certificate was not accepted, and err says why */
	X509 *refused;         /* that certificate, the server's own; owned; NULL: not known */
};

#endif
