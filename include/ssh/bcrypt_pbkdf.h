#ifndef CACHETUNNEL_SSH_BCRYPT_PBKDF_H
#define CACHETUNNEL_SSH_BCRYPT_PBKDF_H

#include "base/attributes.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The function that turns a passphrase into the key of an encrypted OpenSSH key file. It is
 * defined by OpenBSD's bcrypt_pbkdf(3): PBKDF2's construction, with bcrypt (Provos and Mazières,
 * "A Future-Adaptable Password Scheme", 1999; on Schneier's Blowfish) in place of HMAC, and the
 * blocks' bytes interleaved. No library that we use has it. Only that function is offered:
 * nothing else here should ever want Blowfish.
 */

/* Fills `out`. A round costs milliseconds for each 32 bytes: the caller bounds `rounds`, which
 * must be at least 1, like `out_length`. False: no memory. */
bool bcrypt_pbkdf(const char *passphrase, const unsigned char *salt, size_t salt_length,
		  unsigned rounds, unsigned char *out, size_t out_length) ATTR_MUST_CHECK;

#endif
