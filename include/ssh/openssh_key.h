#ifndef CACHETUNNEL_SSH_OPENSSH_KEY_H
#define CACHETUNNEL_SSH_OPENSSH_KEY_H

#include "base/err.h"
#include "ssh/private_key.h"
#include "ssh/wire.h"

#include <openssl/evp.h>

/*
 * The format behind "BEGIN OPENSSH PRIVATE KEY", which OpenSSL does not read: OpenSSH's
 * PROTOCOL.key. One key in a file, as ssh-keygen writes it.
 */

enum { OPENSSH_KEY_ROUNDS_MAX = 1000 }; /* seconds of computing; ssh-keygen takes 16 */

/* Reads `file`: the bytes without armour. `passphrase` may be NULL. Returns an owned key whose
 * public part is the one that the file shows outside, otherwise unchecked; NULL with
 * `ret_failure` and `err`. */
EVP_PKEY *openssh_key_read(struct wire_span file, const char *passphrase,
			   enum private_key_failure *ret_failure, struct err *err);

#endif
