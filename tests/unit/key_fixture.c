#include "key_fixture.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PATH_SIZE = 256 };

const char key_fixture_passphrase[] = "correct-horse";

static const struct key_fixture_kind kinds[] = {
	{"rsa", "ssh-rsa", NULL},
	{"ecdsa256", "ecdsa-sha2-nistp256", "SHA256"},
	{"ecdsa384", "ecdsa-sha2-nistp384", "SHA384"},
	{"ecdsa521", "ecdsa-sha2-nistp521", "SHA512"},
	{"ed25519", "ssh-ed25519", NULL},
	{"ed25519-other", "ssh-ed25519", NULL},
};

const struct key_fixture key_fixtures[KEY_FIXTURE_COUNT] = {
	{"rsa.openssh", false, false},
	{"rsa.openssh-aes256-ctr", true, false},
	{"rsa.openssh-aes256-gcm", true, false},
	{"rsa.openssh-chacha20-poly1305", true, false},
	{"rsa.pem", false, false},
	{"rsa.pem-encrypted", true, false},
	{"rsa.pkcs8", false, false},
	{"rsa.pkcs8-encrypted", true, false},
	{"ecdsa256.openssh", false, false},
	{"ecdsa256.openssh-aes256-ctr", true, false},
	{"ecdsa256.pem", false, false},
	{"ecdsa256.pem-encrypted", true, false},
	{"ecdsa256.pkcs8", false, false},
	{"ecdsa256.pkcs8-encrypted", true, false},
	{"ecdsa256.compressed", false, false},
	{"ecdsa256.parameters-first", false, false},
	{"ecdsa384.openssh", false, false},
	{"ecdsa384.openssh-aes256-ctr", true, false},
	{"ecdsa384.pem", false, false},
	{"ecdsa384.pem-encrypted", true, false},
	{"ecdsa384.pkcs8", false, false},
	{"ecdsa384.pkcs8-encrypted", true, false},
	{"ecdsa521.openssh", false, false},
	{"ecdsa521.openssh-aes256-ctr", true, false},
	{"ecdsa521.pem", false, false},
	{"ecdsa521.pem-encrypted", true, false},
	{"ecdsa521.pkcs8", false, false},
	{"ecdsa521.pkcs8-encrypted", true, false},
	{"ed25519.openssh", false, false},
	{"ed25519.openssh-aes128-cbc", true, false},
	{"ed25519.openssh-aes192-cbc", true, false},
	{"ed25519.openssh-aes256-cbc", true, false},
	{"ed25519.openssh-aes128-ctr", true, false},
	{"ed25519.openssh-aes192-ctr", true, false},
	{"ed25519.openssh-aes256-ctr", true, false},
	{"ed25519.openssh-aes128-gcm", true, false},
	{"ed25519.openssh-aes256-gcm", true, false},
	{"ed25519.openssh-chacha20-poly1305", true, false},
	{"ed25519.openssh-rounds-2", true, false},
	{"ed25519.openssh-rounds-16", true, false},
	{"ed25519.openssh-rounds-33", true, false},
	{"ed25519-other.pkcs8", false, true},
	{"ed25519-other.pkcs8-encrypted", true, true},
	{"ed25519-other.pkcs8-scrypt", true, true},
};

const char *
key_fixture_path(const char *name, const char *suffix)
{
	static char path[PATH_SIZE];

	(void)snprintf(path, sizeof path, "tests/fixtures/keys/%s%s", name, suffix);
	return path;
}

size_t
key_fixture_read(const char *path, char *out)
{
	FILE *file = fopen(path, "r");

	if (file == NULL)
		fail_msg("%s is missing", path);
	size_t length = fread(out, 1, KEY_FIXTURE_SIZE - 1, file);
	(void)fclose(file);
	out[length] = '\0';
	return length;
}

void
key_fixture_read_line(const char *path, char *out)
{
	(void)key_fixture_read(path, out);
	out[strcspn(out, "\n")] = '\0';
}

const struct key_fixture_kind *
key_fixture_kind(const char *file)
{
	size_t length = strcspn(file, ".");

	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
		if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, file, length) == 0)
			return &kinds[i];
	}
	fail_msg("%s is of no kind", file);
	return NULL;
}

struct private_key *
key_fixture_parse(const char *file)
{
	char text[KEY_FIXTURE_SIZE];
	enum private_key_failure failure;
	struct err err = {""};
	size_t length = key_fixture_read(key_fixture_path(file, ""), text);
	struct private_key *key = private_key_parse(text, length, key_fixture_passphrase, &failure,
						    &err);

	if (key == NULL)
		fail_msg("%s: %s", file, err.text);
	return key;
}

size_t
key_fixture_read_blob(const char *path, unsigned char *out)
{
	char line[KEY_FIXTURE_SIZE];

	(void)key_fixture_read(path, line);
	(void)strtok(line, " ");
	const char *word = strtok(NULL, " ");
	int length = EVP_DecodeBlock(out, (const unsigned char *)word, (int)strlen(word));
	assert_true(length > 0);
	return (size_t)length - (strlen(word) - strcspn(word, "="));
}
