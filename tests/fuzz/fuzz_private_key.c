#include "ssh/openssh_key.h"
#include "ssh/private_key.h"
#include "ssh/wire.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of an attacker's choice as a private key: OpenSSH's format without its armour, so that
 * lengths and numbers are met rather than base64, and everything else as text. Whatever turns
 * out to be a key must be able to show itself. */

enum { ROUNDS_MAX = 2, INPUT_SIZE_MAX = 8 * 1024 };

static const char magic[] = "openssh-key-v1"; /* with its NUL */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool is_true)
{
	if (!is_true)
		abort();
}

/* Rounds of bcrypt are slow, and more of them find nothing more. */
static bool
is_fast(struct wire_span file)
{
	struct wire_span skipped;
	struct wire_span options;
	uint32_t rounds;

	if (!wire_read_bytes(&file, sizeof magic, &skipped) || !wire_read_string(&file, &skipped) ||
	    !wire_read_string(&file, &skipped) || !wire_read_string(&file, &options) ||
	    !wire_read_string(&options, &skipped) || !wire_read_u32(&options, &rounds))
		return true;
	return rounds <= ROUNDS_MAX;
}

static void
try_bytes(struct wire_span file)
{
	enum private_key_failure failure = PRIVATE_KEY_MISSING;
	struct err err = {""};

	if (!is_fast(file))
		return;
	EVP_PKEY *pkey = openssh_key_read(file, "correct-horse", &failure, &err);
	expect(pkey != NULL || (err.text[0] != '\0' && failure != PRIVATE_KEY_MISSING &&
				failure != PRIVATE_KEY_NEEDS_PASSPHRASE));
	EVP_PKEY_free(pkey);
}

/* Without a passphrase: OpenSSL sets no limit to the work that a file may ask for. */
static void
try_text(const char *text, size_t length)
{
	enum private_key_failure failure = PRIVATE_KEY_MISSING;
	struct err err = {""};
	struct private_key *key = private_key_parse(text, length, NULL, &failure, &err);

	if (key == NULL) {
		expect(err.text[0] != '\0' &&
		       (failure == PRIVATE_KEY_FAILED || failure == PRIVATE_KEY_NEEDS_PASSPHRASE));
		return;
	}
	size_t blob_length = 0;
	unsigned char *blob = private_key_public_blob(key, RSA_SIGNATURE_SHA2_256, &blob_length);
	expect(blob != NULL && blob_length > 4 + strlen("ssh-rsa"));
	free(blob);
	expect(strncmp(private_key_fingerprint(key), "SHA256:", 7) == 0);
	private_key_free(key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > INPUT_SIZE_MAX)
		return 0;
	if (size >= sizeof magic && memcmp(data, magic, sizeof magic) == 0)
		try_bytes((struct wire_span){data, size});
	else
		try_text((const char *)data, size);
	return 0;
}
