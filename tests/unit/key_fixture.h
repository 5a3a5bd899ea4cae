#ifndef CACHETUNNEL_TESTS_KEY_FIXTURE_H
#define CACHETUNNEL_TESTS_KEY_FIXTURE_H

#include "ssh/private_key.h"

#include <stdbool.h>
#include <stddef.h>

/* The keys in tests/fixtures/keys: its README says what the names mean. Whatever goes wrong
 * here fails the test. */

enum { KEY_FIXTURE_SIZE = 16 * 1024, KEY_FIXTURE_COUNT = 44 };

struct key_fixture_kind {
	const char *name;
	const char *algorithm;
	const char *digest; /* with which ECDSA signs */
};

struct key_fixture {
	const char *file; /* KIND.FORMAT */
	bool is_encrypted;
	bool is_any_key_good; /* nothing in the format tells a damaged key */
};

extern const char key_fixture_passphrase[];
extern const struct key_fixture key_fixtures[KEY_FIXTURE_COUNT];

const struct key_fixture_kind *key_fixture_kind(const char *file);

/* "tests/fixtures/keys/NAMESUFFIX"; valid until the next call. */
const char *key_fixture_path(const char *name, const char *suffix);

/* Reads a file as text into `out`, of KEY_FIXTURE_SIZE; returns its length. */
size_t key_fixture_read(const char *path, char *out);

/* As key_fixture_read(), the first line without its end. */
void key_fixture_read_line(const char *path, char *out);

/* The key in a file; returned owned. */
struct private_key *key_fixture_parse(const char *file);

/* The public key in a line of ssh-keygen's. Returns its length. */
size_t key_fixture_read_blob(const char *path, unsigned char *out);

#endif
