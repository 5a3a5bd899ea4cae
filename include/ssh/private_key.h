#ifndef CACHETUNNEL_SSH_PRIVATE_KEY_H
#define CACHETUNNEL_SSH_PRIVATE_KEY_H

#include "base/attributes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A private key for a login: read from a file, unlocked, and able to sign. All formats that
 * ssh-keygen and AWS hand out: "BEGIN RSA PRIVATE KEY" and the other PEM forms, PKCS#8, and
 * "BEGIN OPENSSH PRIVATE KEY" unencrypted and encrypted. Signing is ours, through OpenSSL, for
 * every kind of key: so one path serves files and agent, RSA signs with SHA-2 although libssh2
 * 1.10 cannot, and unlocking happens where it stalls nobody.
 *
 * A key is read-only once loaded; any thread may sign with it.
 */

struct private_key;

/* How RSA signs; the other kinds have one way only. */
enum rsa_signature {
	RSA_SIGNATURE_SHA2_512, /* "rsa-sha2-512" */
	RSA_SIGNATURE_SHA2_256, /* "rsa-sha2-256" */
	RSA_SIGNATURE_SHA1,     /* "ssh-rsa", for servers that know nothing better */
};

enum private_key_failure {
	PRIVATE_KEY_FAILED,           /* err says how */
	PRIVATE_KEY_MISSING,          /* there is no such file */
	PRIVATE_KEY_NEEDS_PASSPHRASE, /* it is encrypted, and no passphrase was given */
	PRIVATE_KEY_WRONG_PASSPHRASE,
};

/* Reads and unlocks `path`. `passphrase` may be NULL. Refuses a file that others may read, as
 * ssh does. May take a quarter of a second of computing (bcrypt): not on a worker's loop.
 * Returns owned; NULL with `ret_failure` and `err`. */
struct private_key *private_key_load(const char *path, const char *passphrase,
				     enum private_key_failure *ret_failure, struct err *err);

/* As private_key_load(), from the file's content; no check of permissions. */
struct private_key *private_key_parse(const char *text, size_t length, const char *passphrase,
				      enum private_key_failure *ret_failure, struct err *err);

/*
 * Adds an OpenSSH user certificate ("KEY-cert.pub") for the key; before the key is shared among
 * threads. Refuses one for another
 * key, for hosts, or out of its time. libssh2 carries certificates of ECDSA keys only, from 1.11
 * on also of Ed25519 keys; for others `err` says so, and the key is as before.
 */
bool private_key_load_certificate(struct private_key *key, const char *path,
				  struct err *err) ATTR_MUST_CHECK;

/* One more who keeps it: each frees it, the last one wipes it. Any thread. Returns `key`. */
struct private_key *private_key_ref(struct private_key *key);
void private_key_free(struct private_key *key); /* NULL is fine */

/* Whether both are the same key, with the same certificate or none. */
bool private_key_is_equal(const struct private_key *key, const struct private_key *other);

/* "ssh-ed25519", "ecdsa-sha2-nistp256", …, "ssh-rsa"; static. */
const char *private_key_algorithm(const struct private_key *key);
bool private_key_is_rsa(const struct private_key *key);

/* "SHA256:…", as ssh-keygen -l shows it; borrowed. */
const char *private_key_fingerprint(const struct private_key *key);

/* The public key for the server (RFC 4253, 6.6). For RSA the algorithm's name inside is that of
 * `rsa`, because libssh2 takes the signature's name from there. Returns
 * owned, for free(); NULL: no memory. */
unsigned char *private_key_public_blob(const struct private_key *key, enum rsa_signature rsa,
				       size_t *ret_length);

/* The certificate, to be shown instead of the public key; signatures are the same. Returns owned,
 * for free(); NULL: there is none, or no memory. */
unsigned char *private_key_certificate_blob(const struct private_key *key, size_t *ret_length);
bool private_key_has_certificate(const struct private_key *key);

/* Signs `data`. The signature is what follows the algorithm's name in SSH's signature format
 * (RFC 4253, 6.6; RFC 5656, 3.1.2; RFC 8332; RFC 8709): libssh2 adds name and length itself.
 * Returns owned, for free(); NULL with `err`. */
unsigned char *private_key_sign(const struct private_key *key, enum rsa_signature rsa,
				const unsigned char *data, size_t length, size_t *ret_length,
				struct err *err);

#endif
