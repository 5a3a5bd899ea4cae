#ifndef CACHETUNNEL_SSH_KEY_CIPHER_H
#define CACHETUNNEL_SSH_KEY_CIPHER_H

#include "base/attributes.h"
#include "ssh/wire.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The ciphers of encrypted OpenSSH key files (ssh-keygen -Z): all of today's, but not 3des-cbc.
 */

enum { KEY_CIPHER_SECRETS_MAX = 64 };

struct key_cipher {
	const char *name; /* SSH's */
	const char *evp;  /* OpenSSL's */
	size_t key_length;
	size_t iv_length;
	size_t block_length; /* encrypted text is a multiple of it */
	size_t tag_length;   /* proves the text, and follows it; 0: nothing does */
};

/* NULL: no such cipher. */
const struct key_cipher *key_cipher_find(const struct wire_span *name);

/* Decrypts `text` into `out`, of the same length. `secrets` has the key and behind it the IV.
 * False: `tag` belongs to another text or key, or no memory. */
bool key_cipher_decrypt(const struct key_cipher *cipher, const unsigned char *secrets,
			const struct wire_span *text, const struct wire_span *tag,
			unsigned char *out) ATTR_MUST_CHECK;

#endif
