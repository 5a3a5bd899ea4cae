#ifndef CACHETUNNEL_SSH_HOST_KEY_H
#define CACHETUNNEL_SSH_HOST_KEY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A server's public key: its kind, its fingerprint, and whether two are the same. What is known of
 * a host's keys is known_hosts.h's business; nothing here verifies a signature.
 */

/* A host key as it goes over the wire (RFC 4253, 6.6): a string with the algorithm, then its
 * numbers. Borrowed bytes, of unknown origin. */
struct host_key {
	const unsigned char *blob;
	size_t length;
};

/* Algorithms, as flags. */
enum host_key_type {
	HOST_KEY_ED25519 = 1 << 0,
	HOST_KEY_ECDSA_256 = 1 << 1,
	HOST_KEY_ECDSA_384 = 1 << 2,
	HOST_KEY_ECDSA_521 = 1 << 3,
	HOST_KEY_RSA = 1 << 4,
};

enum { HOST_KEY_FINGERPRINT_SIZE = 64, HOST_KEY_ALGORITHM_SIZE = 65 };

/* "SHA256:…" without padding, as ssh-keygen -l shows it. Returns `out`. */
char *host_key_fingerprint(struct host_key key, char *out, size_t size);

/* The algorithm's name, copied out of the blob ("ssh-ed25519"); "?" if the blob is none, or the
 * name does not print. HOST_KEY_ALGORITHM_SIZE holds every name. Returns `out`. */
char *host_key_algorithm(struct host_key key, char *out, size_t size);

/* One flag of enum host_key_type; 0 for every other algorithm. */
unsigned host_key_type(struct host_key key);

/* Whether the blob begins with an algorithm's name, and, for the types above, has the parts of such
 * a key and nothing behind them. */
bool host_key_is_well_formed(struct host_key key);

/* Whether it is the same key, to the byte. */
bool host_key_equal(struct host_key left, struct host_key right);

/* Whether both name the same algorithm; ECDSA's curves are different ones. */
bool host_key_same_algorithm(struct host_key left, struct host_key right);

#endif
