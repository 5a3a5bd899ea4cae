#ifndef CACHETUNNEL_STREAM_TLS_IDENTITY_H
#define CACHETUNNEL_STREAM_TLS_IDENTITY_H

#include "config/config.h"

#include <openssl/ssl.h>

/*
 * Our own certificate and key, for endpoints that ask clients for one: `cert` and `key`, PEM
 * (the chain may follow the certificate) or PKCS#12.
 */

/* Loads them into `context`; nothing to do is fine. False with the errors in `report`. */
bool tls_identity_load(SSL_CTX *context, const struct service *service, struct report *report);

#endif
