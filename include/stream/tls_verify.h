#ifndef CACHETUNNEL_STREAM_TLS_VERIFY_H
#define CACHETUNNEL_STREAM_TLS_VERIFY_H

#include <openssl/ssl.h>

/*
 * Decides whether a server's certificate is accepted, and says in words why not and which option
 * would change it. OpenSSL builds and checks the chain; the checks of names (any one of several
 * host names, addresses and mail addresses suffices) and of pinned certificates are ours.
 */

/* Makes `ssl` ask. Its app data must be a struct tls_peer (tls_peer.h) that lives as long as it does (a server
 * may renegotiate under TLS 1.2). */
void tls_verify_attach(SSL *ssl);

#endif
