#ifndef CACHETUNNEL_STREAM_TLS_BIO_H
#define CACHETUNNEL_STREAM_TLS_BIO_H

#include "stream/stream.h"

#include <openssl/bio.h>

/*
 * What lets OpenSSL run over any stream: a BIO whose reads and writes are the stream's. OpenSSL
 * knows only "failed" and "later", so the stream's own words are kept beside it.
 */

struct tls_bio {
	struct stream *lower;      /* borrowed */
	enum stream_result result; /* of the last call, but for alerts that could not be sent */
	struct err *err; /* where the stream's text goes; borrowed for one call into OpenSSL */
};

/* The kind, made once for each context. Returns owned, for BIO_meth_free(); NULL: no memory. */
BIO_METHOD *tls_bio_method_new(void);

/* A BIO of that kind on `link`, which must outlive it. Returns owned; NULL: no memory. */
BIO *tls_bio_new(const BIO_METHOD *method, struct tls_bio *link);

#endif
