#include "key_fixture.h"
#include "ssh/wire.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_SIZE = 256 };

static const unsigned char message[] = "what a server wants to see signed";

/* With RSA's name for the signature in place of the key's, as libssh2 needs it. */
static void
check_public_blob(const struct private_key *key, const struct key_fixture_kind *kind,
		  enum rsa_signature rsa, const char *name)
{
	unsigned char shown[KEY_FIXTURE_SIZE];
	struct wire_span expected = {
		shown, key_fixture_read_blob(key_fixture_path(kind->name, ".pub"), shown)};
	struct wire_span blob;
	struct wire_span got;
	unsigned char *bytes = private_key_public_blob(key, rsa, &blob.length);

	assert_non_null(bytes);
	blob.bytes = bytes;
	assert_true(wire_read_string(&blob, &got));
	assert_true(wire_span_is(&got, name));
	assert_true(wire_read_string(&expected, &got));
	assert_true(wire_span_is(&got, kind->algorithm));
	assert_int_equal(blob.length, expected.length);
	assert_memory_equal(blob.bytes, expected.bytes, blob.length);
	free(bytes);
}

static void
every_format_gives_the_same_key(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < KEY_FIXTURE_COUNT; i++) {
		char expected[KEY_FIXTURE_SIZE];
		const struct key_fixture_kind *kind = key_fixture_kind(key_fixtures[i].file);
		struct private_key *key = key_fixture_parse(key_fixtures[i].file);
		key_fixture_read_line(key_fixture_path(kind->name, ".fingerprint"), expected);
		assert_string_equal(private_key_fingerprint(key), expected);
		assert_string_equal(private_key_algorithm(key), kind->algorithm);
		assert_int_equal(private_key_is_rsa(key), strcmp(kind->name, "rsa") == 0);
		check_public_blob(key, kind, RSA_SIGNATURE_SHA1, kind->algorithm);
		private_key_free(key);
	}
}

static void
rsa_keys_are_shown_under_the_name_of_the_signature(void **state ATTR_UNUSED)
{
	struct private_key *key = key_fixture_parse("rsa.pem");

	check_public_blob(key, key_fixture_kind("rsa.pem"), RSA_SIGNATURE_SHA2_512, "rsa-sha2-512");
	check_public_blob(key, key_fixture_kind("rsa.pem"), RSA_SIGNATURE_SHA2_256, "rsa-sha2-256");
	private_key_free(key);
}

/* ECDSA's two numbers as OpenSSL verifies them. Returns owned. */
static unsigned char *
to_der(struct wire_span signature, size_t *ret_length)
{
	unsigned char *der = NULL;
	BIGNUM *r = NULL;
	BIGNUM *s = NULL;
	ECDSA_SIG *pair = ECDSA_SIG_new();

	assert_true(wire_read_mpint(&signature, &r));
	assert_true(wire_read_mpint(&signature, &s));
	assert_int_equal(signature.length, 0);
	assert_int_equal(ECDSA_SIG_set0(pair, r, s), 1);
	int length = i2d_ECDSA_SIG(pair, &der);
	assert_true(length > 0);
	ECDSA_SIG_free(pair);
	*ret_length = (size_t)length;
	return der;
}

static void
check_signature(const struct key_fixture_kind *kind, const char *digest,
		const unsigned char *signature, size_t length)
{
	unsigned char *der = NULL;
	FILE *file = fopen(key_fixture_path(kind->name, ".public"), "r");
	assert_non_null(file);
	EVP_PKEY *pkey = PEM_read_PUBKEY(file, NULL, NULL, NULL);
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	(void)fclose(file);
	if (kind->digest != NULL) {
		der = to_der((struct wire_span){signature, length}, &length);
		signature = der;
	} else {
		assert_int_equal(length, EVP_PKEY_get_size(pkey));
	}
	assert_int_equal(EVP_DigestVerifyInit_ex(context, NULL, digest, NULL, NULL, pkey, NULL), 1);
	assert_int_equal(EVP_DigestVerify(context, signature, length, message, sizeof message), 1);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(pkey);
	OPENSSL_free(der);
}

static void
signatures_are_right(void **state ATTR_UNUSED)
{
	static const char *const rsa_digests[] = {
		[RSA_SIGNATURE_SHA2_512] = "SHA512",
		[RSA_SIGNATURE_SHA2_256] = "SHA256",
		[RSA_SIGNATURE_SHA1] = "SHA1",
	};

	for (size_t i = 0; i < KEY_FIXTURE_COUNT; i++) {
		const struct key_fixture_kind *kind = key_fixture_kind(key_fixtures[i].file);
		struct private_key *key = key_fixture_parse(key_fixtures[i].file);
		for (int rsa = RSA_SIGNATURE_SHA2_512; rsa <= RSA_SIGNATURE_SHA1; rsa++) {
			struct err err = {""};
			size_t length;
			const char *digest = private_key_is_rsa(key) ? rsa_digests[rsa]
								     : kind->digest;
			unsigned char *signature = private_key_sign(key, (enum rsa_signature)rsa,
								    message, sizeof message,
								    &length, &err);
			if (signature == NULL)
				fail_msg("%s: %s", key_fixtures[i].file, err.text);
			check_signature(kind, digest, signature, length);
			free(signature);
		}
		private_key_free(key);
	}
}

static void
passphrases_are_missed_and_found_wrong(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < KEY_FIXTURE_COUNT; i++) {
		char text[KEY_FIXTURE_SIZE];
		struct err err = {""};
		enum private_key_failure failure = PRIVATE_KEY_FAILED;
		size_t length = key_fixture_read(key_fixture_path(key_fixtures[i].file, ""), text);
		struct private_key *key = private_key_parse(text, length, NULL, &failure, &err);
		assert_int_equal(key == NULL, key_fixtures[i].is_encrypted);
		private_key_free(key);
		if (!key_fixtures[i].is_encrypted)
			continue;
		assert_int_equal(failure, PRIVATE_KEY_NEEDS_PASSPHRASE);
		assert_non_null(strstr(err.text, "no passphrase was given"));
		assert_null(private_key_parse(text, length, "wrong", &failure, &err));
		assert_int_equal(failure, PRIVATE_KEY_WRONG_PASSPHRASE);
		assert_string_equal(err.text, "the passphrase is wrong");
	}
}

static void
what_is_not_supported_is_named(void **state ATTR_UNUSED)
{
	static const struct {
		const char *name;
		const char *error;
	} rows[] = {
		{"3des", "encrypted with '3des-cbc', which is not supported"},
		{"dsa", "DSA keys are no longer safe"},
		{"ed448", "keys of type 'ED448' are not supported"},
		{"secp256k1", "keys of type 'EC on secp256k1' are not supported"},
		{"short", "an RSA key of 768 bits is not accepted"},
		{"sk", "use the agent for it"},
		{"two", "it holds 2 keys, but must hold one"},
		{"mixed", "it is damaged"},
		{"rounds", "takes 1001 rounds of bcrypt"},
		{"putty", "puttygen"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		char text[KEY_FIXTURE_SIZE];
		enum private_key_failure failure;
		struct err err = {""};
		size_t length = key_fixture_read(key_fixture_path(rows[i].name, ".unsupported"),
						 text);
		assert_null(
			private_key_parse(text, length, key_fixture_passphrase, &failure, &err));
		assert_int_equal(failure, PRIVATE_KEY_FAILED);
		if (strstr(err.text, rows[i].error) == NULL)
			fail_msg("%s: %s", rows[i].name, err.text);
	}
}

static void
mistakes_are_explained(void **state ATTR_UNUSED)
{
	static const struct {
		const char *text;
		const char *error;
	} rows[] = {
		{"", "it is no private key"},
		{"\n", "it is no private key"},
		{"ssh-rsa AAAA me\n", "without '.pub'"},
		{"ecdsa-sha2-nistp256 AAAA me\n", "without '.pub'"},
		{"-----BEGIN PUBLIC KEY-----\n", "it is a public key"},
		{"-----BEGIN CERTIFICATE-----\n", "it is a certificate for TLS"},
		{"-----BEGIN PRIVATE KEY-----\nAAAA\n", "it is damaged"},
		{"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "it is damaged"},
		{"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
		 "it is not in version 1 of OpenSSH's format"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		enum private_key_failure failure;
		struct err err = {""};
		assert_null(private_key_parse(rows[i].text, strlen(rows[i].text), NULL, &failure,
					      &err));
		assert_int_equal(failure, PRIVATE_KEY_FAILED);
		if (strstr(err.text, rows[i].error) == NULL)
			fail_msg("%s: %s", rows[i].text, err.text);
	}
}

static void
windows_line_ends_and_text_around_do_not_matter(void **state ATTR_UNUSED)
{
	static const char *const names[] = {"rsa.pem", "rsa.openssh", "ed25519-other.pkcs8"};

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		char text[KEY_FIXTURE_SIZE];
		char changed[KEY_FIXTURE_SIZE] = "a note by a person\r\n";
		enum private_key_failure failure;
		size_t to = strlen(changed);
		size_t length = key_fixture_read(key_fixture_path(names[i], ""), text);
		for (size_t from = 0; from < length; from++) {
			if (text[from] == '\n')
				changed[to++] = '\r';
			changed[to++] = text[from];
		}
		struct private_key *key = private_key_parse(changed, to, NULL, &failure, NULL);
		assert_non_null(key);
		private_key_free(key);
	}
}

static void
write_file(const char *path, const char *text, size_t length, mode_t mode)
{
	(void)unlink(path);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	assert_int_equal(fchmod(fileno(file), mode), 0);
	(void)fclose(file);
}

static void
files_that_others_may_read_are_refused(void **state)
{
	static const mode_t good[] = {0600, 0400, 0700};
	static const mode_t bad[] = {0640, 0604, 0610, 0644, 0777};
	const char *path = *state;
	char text[KEY_FIXTURE_SIZE];
	size_t length = key_fixture_read(key_fixture_path("ed25519.openssh", ""), text);
	enum private_key_failure failure;
	struct err err = {""};

	for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
		write_file(path, text, length, good[i]);
		struct private_key *key = private_key_load(path, NULL, &failure, &err);
		assert_non_null(key);
		private_key_free(key);
	}
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		write_file(path, text, length, bad[i]);
		assert_null(private_key_load(path, NULL, &failure, &err));
		assert_int_equal(failure, PRIVATE_KEY_FAILED);
		assert_non_null(strstr(err.text, "run: chmod 600 "));
		assert_non_null(strstr(err.text, path));
	}
}

static void
files_that_cannot_be_read_are_told_apart(void **state)
{
	static char zeros[64 * 1024 + 1];
	const char *path = *state;
	enum private_key_failure failure;
	struct err err = {""};

	(void)unlink(path);
	assert_null(private_key_load(path, NULL, &failure, &err));
	assert_int_equal(failure, PRIVATE_KEY_MISSING);
	assert_non_null(strstr(err.text, path));
	assert_null(private_key_load("/", NULL, &failure, &err));
	assert_int_equal(failure, PRIVATE_KEY_FAILED);
	assert_non_null(strstr(err.text, "'/'"));
	write_file(path, zeros, sizeof zeros, 0600);
	assert_null(private_key_load(path, NULL, &failure, &err));
	assert_non_null(strstr(err.text, "too long"));
}

static int
make_folder(void **state)
{
	static char path[PATH_SIZE];
	const char *parent = getenv("TMPDIR");

	(void)snprintf(path, sizeof path, "%s/cachetunnel-key.XXXXXX",
		       parent != NULL ? parent : "/tmp");
	if (mkdtemp(path) == NULL)
		return -1;
	strcat(path, "/key");
	*state = path;
	return 0;
}

static int
remove_folder(void **state)
{
	char *path = *state;

	(void)unlink(path);
	*strrchr(path, '/') = '\0';
	return rmdir(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_format_gives_the_same_key),
		cmocka_unit_test(rsa_keys_are_shown_under_the_name_of_the_signature),
		cmocka_unit_test(signatures_are_right),
		cmocka_unit_test(passphrases_are_missed_and_found_wrong),
		cmocka_unit_test(what_is_not_supported_is_named),
		cmocka_unit_test(mistakes_are_explained),
		cmocka_unit_test(windows_line_ends_and_text_around_do_not_matter),
		cmocka_unit_test_setup_teardown(files_that_others_may_read_are_refused, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(files_that_cannot_be_read_are_told_apart,
						make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
