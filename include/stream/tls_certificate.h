#ifndef CACHETUNNEL_STREAM_TLS_CERTIFICATE_H
#define CACHETUNNEL_STREAM_TLS_CERTIFICATE_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* A server's certificate in words, for messages and diagnoses. Nothing here decides about it. */

enum { TLS_CERTIFICATE_NAMES_SIZE = 160, TLS_CERTIFICATE_DATE_SIZE = 40 };

struct tls_certificate {
	char names[TLS_CERTIFICATE_NAMES_SIZE];      /* "'a.test', '*.b.test'", as far as it fits */
	char first_name[TLS_CERTIFICATE_NAMES_SIZE]; /* of the DNS names; empty: none */
	char issuer[TLS_CERTIFICATE_NAMES_SIZE];     /* its common name, or all of it */
	time_t expires_at;                           /* 0: unreadable */
	int chain_length;                            /* certificates that the server sent */
};

/* Fills everything but the chain's length. Texts are as the certificate has them: escape them
 * before they reach a terminal. */
void tls_certificate_describe(X509 *certificate, struct tls_certificate *ret_certificate);

/* Writes the names that it has, quoted and divided by commas; "nobody by name" for none. */
void tls_certificate_list_names(X509 *certificate, char *out, size_t size);

#endif
