#ifndef CACHETUNNEL_STREAM_TLS_TRUST_H
#define CACHETUNNEL_STREAM_TLS_TRUST_H

#include "config/config.h"

#include <openssl/x509.h>

/*
 * Whom we trust: CA certificates and revocation lists, read once at start into a store that all
 * threads share read-only. Folders of hashed certificates are read whole as well, so that no
 * handshake waits for a disk, and nothing is missing after chroot or under a sandbox.
 */

/* The system's own store, as OpenSSL finds it: SSL_CERT_FILE and SSL_CERT_DIR, or the places
 * that its build names. Returns owned; NULL, with an error in `report` at `at`, when there is no
 * certificate in it at all. */
X509_STORE *tls_trust_load_system(struct report *report, struct location at);

/* What CAfile, CApath, CAstore, CRLfile and CRLpath of `service` name. Returns owned; NULL with
 * the errors in `report`. */
X509_STORE *tls_trust_load(const struct service *service, struct report *report);

/* Whether the service names CAs of its own. */
bool tls_trust_is_own(const struct service *service);

#endif
