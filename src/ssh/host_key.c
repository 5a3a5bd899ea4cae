#include "ssh/host_key.h"

#include "base/attributes.h"
#include "ssh/base64.h"
#include "ssh/wire.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALGORITHM_LENGTH_MAX = HOST_KEY_ALGORITHM_SIZE - 1 /* RFC 4251, 6 */ };

/* Two parts follow the name, or one. A length of 0 stands for any but none. */
static const struct kind {
	const char *algorithm;
	enum host_key_type type;
	const char *curve; /* the first part; NULL: the key has none */
	size_t part_count;
	size_t last_length;
} kinds[] = {
	{"ssh-ed25519", HOST_KEY_ED25519, NULL, 1, 32},
	/* A byte that says "uncompressed", then both coordinates. */
	{"ecdsa-sha2-nistp256", HOST_KEY_ECDSA_256, "nistp256", 2, 1 + 2 * 32},
	{"ecdsa-sha2-nistp384", HOST_KEY_ECDSA_384, "nistp384", 2, 1 + 2 * 48},
	{"ecdsa-sha2-nistp521", HOST_KEY_ECDSA_521, "nistp521", 2, 1 + 2 * 66},
	{"ssh-rsa", HOST_KEY_RSA, NULL, 2, 0},
};

/* Takes the algorithm off the front of `rest`. */
static bool
read_algorithm(struct wire_span *rest, struct wire_span *ret_name)
{
	if (!wire_read_string(rest, ret_name) || ret_name->length == 0 ||
	    ret_name->length > ALGORITHM_LENGTH_MAX)
		return false;
	for (size_t i = 0; i < ret_name->length; i++) {
		if (ret_name->bytes[i] <= ' ' || ret_name->bytes[i] > '~')
			return false;
	}
	return true;
}

static const struct kind *
find_kind(const struct wire_span *name)
{
	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
		if (wire_span_is(name, kinds[i].algorithm))
			return &kinds[i];
	}
	return NULL;
}

static bool
has_parts(const struct kind *kind, struct wire_span rest)
{
	struct wire_span part = {NULL, 0};

	for (size_t i = 0; i < kind->part_count; i++) {
		if (!wire_read_string(&rest, &part) || part.length == 0)
			return false;
		if (i == 0 && kind->curve != NULL && !wire_span_is(&part, kind->curve))
			return false;
	}
	return rest.length == 0 && (kind->last_length == 0 || part.length == kind->last_length);
}

bool
host_key_is_well_formed(struct host_key key)
{
	struct wire_span rest = {key.blob, key.length};
	struct wire_span name;

	if (!read_algorithm(&rest, &name))
		return false;
	const struct kind *kind = find_kind(&name);
	return kind == NULL || has_parts(kind, rest);
}

unsigned
host_key_type(struct host_key key)
{
	struct wire_span rest = {key.blob, key.length};
	struct wire_span name;

	if (!read_algorithm(&rest, &name))
		return 0;
	const struct kind *kind = find_kind(&name);
	return kind != NULL ? (unsigned)kind->type : 0;
}

char *
host_key_algorithm(struct host_key key, char *out, size_t size)
{
	struct wire_span rest = {key.blob, key.length};
	struct wire_span name;

	if (read_algorithm(&rest, &name))
		(void)snprintf(out, size, "%.*s", (int)name.length, (const char *)name.bytes);
	else
		(void)snprintf(out, size, "?");
	return out;
}

bool
host_key_equal(struct host_key left, struct host_key right)
{
	return left.length == right.length && left.length > 0 &&
	       memcmp(left.blob, right.blob, left.length) == 0;
}

bool
host_key_same_algorithm(struct host_key left, struct host_key right)
{
	struct wire_span left_rest = {left.blob, left.length};
	struct wire_span right_rest = {right.blob, right.length};
	struct wire_span left_name;
	struct wire_span right_name;

	return read_algorithm(&left_rest, &left_name) && read_algorithm(&right_rest, &right_name) &&
	       left_name.length == right_name.length &&
	       memcmp(left_name.bytes, right_name.bytes, left_name.length) == 0;
}

char *
host_key_fingerprint(struct host_key key, char *out, size_t size)
{
	unsigned char digest[SHA256_DIGEST_LENGTH] = {0};

	(void)EVP_Digest(key.blob, key.length, digest, NULL, EVP_sha256(), NULL);
	char *text = base64_encode(digest, sizeof digest);
	(void)snprintf(out, size, "SHA256:%.*s", (int)strcspn(text, "="), text);
	free(text);
	return out;
}
