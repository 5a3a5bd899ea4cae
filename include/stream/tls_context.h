#ifndef CACHETUNNEL_STREAM_TLS_CONTEXT_H
#define CACHETUNNEL_STREAM_TLS_CONTEXT_H

#include "config/config.h"

#include <openssl/ssl.h>

/*
 * What one service's TLS streams share: OpenSSL's context with its trust, identity and limits.
 * Made once, when the configuration is loaded, in the only thread there is then; afterwards
 * read-only and shared by all workers.
 */

struct tls_context;

/* For `service`, which is borrowed and must outlive it. `system_trust` is the system's store,
 * loaded when first needed and shared by all contexts of a configuration: pass the address of
 * the same pointer (NULL at first) each time, and X509_STORE_free() it in the end.
 * Returns owned; NULL with the errors in `report`. */
struct tls_context *tls_context_new(const struct service *service, X509_STORE **system_trust,
				    struct report *report);

void tls_context_free(struct tls_context *context); /* NULL is fine */

/* For tls_stream: all borrowed. */
SSL_CTX *tls_context_ssl(const struct tls_context *context);
const BIO_METHOD *tls_context_bio_method(const struct tls_context *context);
const struct service_options *tls_context_options(const struct tls_context *context);

#endif
