#ifndef CACHETUNNEL_SSH_KEY_KIND_H
#define CACHETUNNEL_SSH_KEY_KIND_H

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/err.h"
#include "ssh/wire.h"

#include <openssl/evp.h>
#include <stdbool.h>

/*
 * The kinds of keys that we log in with, and how each looks to SSH and to OpenSSL. Knows nothing
 * of files.
 */

enum key_type {
	KEY_TYPE_RSA,
	KEY_TYPE_ECDSA,
	KEY_TYPE_ED25519,
};

struct key_kind {
	const char *algorithm; /* SSH's name */
	const char *curve;     /* SSH's name of ECDSA's curve; else NULL */
	const char *group;     /* OpenSSL's name of it */
	const char *digest;    /* with ECDSA; else NULL */
	enum key_type type;
	int field_bytes; /* size of a coordinate of ECDSA */
};

/* The kind that SSH calls `name`; NULL with `err`. */
const struct key_kind *key_kind_of_name(const struct wire_span *name, struct err *err);

/* The kind that an OpenSSL key is of; NULL with `err`. */
const struct key_kind *key_kind_of_pkey(const EVP_PKEY *pkey, struct err *err);

/* Appends what follows the algorithm's name in the public key (RFC 4253, 6.6). */
bool key_kind_append_public(const struct key_kind *kind, const EVP_PKEY *pkey,
			    struct buffer *out) ATTR_MUST_CHECK;

/* Makes a key of the fields that follow the algorithm's name in an OpenSSH key file, and takes
 * them off `fields`. Returns owned; NULL: they are not right. */
EVP_PKEY *key_kind_read_private(const struct key_kind *kind, struct wire_span *fields);

/* Whether private and public part belong together, and all of what is kept for speed. A damaged
 * key would sign wrongly, and a wrong RSA signature can give the key away. */
bool key_kind_check(const struct key_kind *kind, EVP_PKEY *pkey, struct err *err) ATTR_MUST_CHECK;

#endif
