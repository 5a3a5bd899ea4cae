#include "key_fixture.h"

#include <libssh2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
a_certificate_can_be_shown_instead_of_the_public_key(void **state ATTR_UNUSED)
{
	static const char *const names[] = {"ecdsa256", "ecdsa384"};

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		char file[64];
		unsigned char expected[KEY_FIXTURE_SIZE];
		struct err err = {""};
		(void)snprintf(file, sizeof file, "%s.openssh", names[i]);
		struct private_key *key = key_fixture_parse(file);
		/* The second replaces the first. */
		for (int j = 0; j < 2; j++) {
			if (!private_key_load_certificate(
				    key, key_fixture_path(names[i], "-cert.pub"), &err))
				fail_msg("%s: %s", names[i], err.text);
		}
		size_t expected_length =
			key_fixture_read_blob(key_fixture_path(names[i], "-cert.pub"), expected);
		size_t length;
		unsigned char *blob = private_key_certificate_blob(key, &length);
		assert_int_equal(length, expected_length);
		assert_memory_equal(blob, expected, length);
		free(blob);
		private_key_free(key);
	}
}

static void
certificates_that_cannot_work_are_refused(void **state ATTR_UNUSED)
{
	static const struct {
		const char *key;
		const char *certificate;
		const char *error;
	} rows[] = {
		{"ecdsa256.pem", "ecdsa256-cert-expired.pub", "it expired at 2020-01-0"},
		{"ecdsa256.pem", "ecdsa256-cert-early.pub", "it is valid only from "},
		{"ecdsa256.pem", "ecdsa256-cert-host.pub", "for a host, not for a user"},
		{"ecdsa256.pem", "ecdsa384-cert.pub", "not a certificate for a key of type ecdsa"},
		{"ecdsa256.pem", "ecdsa256.pub", "not a certificate for a key of type ecdsa"},
		{"ecdsa256.pem", "ecdsa256.pem", "no certificate of ssh-keygen"},
		{"ecdsa256.pem", "no-such-file", "No such file"},
		{"rsa.pem", "rsa-cert.pub", "libssh2 cannot use certificates for RSA keys"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		struct err err = {""};
		struct private_key *key = key_fixture_parse(rows[i].key);
		size_t length;
		size_t before_length;
		unsigned char *before = private_key_public_blob(key, RSA_SIGNATURE_SHA1,
								&before_length);
		assert_false(private_key_load_certificate(
			key, key_fixture_path(rows[i].certificate, ""), &err));
		if (strstr(err.text, rows[i].error) == NULL)
			fail_msg("%s: %s", rows[i].certificate, err.text);
		unsigned char *after = private_key_public_blob(key, RSA_SIGNATURE_SHA1, &length);
		assert_int_equal(length, before_length);
		assert_memory_equal(after, before, length);
		free(before);
		free(after);
		private_key_free(key);
	}
}

static void
certificates_of_ed25519_keys_need_a_newer_libssh2(void **state ATTR_UNUSED)
{
	struct err err = {""};
	struct private_key *key = key_fixture_parse("ed25519.openssh");
	bool is_new = libssh2_version(0x010b00) != NULL;

	assert_int_equal(
		private_key_load_certificate(key, key_fixture_path("ed25519", "-cert.pub"), &err),
		is_new);
	if (!is_new)
		assert_non_null(strstr(err.text, "need libssh2 1.11"));
	private_key_free(key);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_certificate_can_be_shown_instead_of_the_public_key),
		cmocka_unit_test(certificates_that_cannot_work_are_refused),
		cmocka_unit_test(certificates_of_ed25519_keys_need_a_newer_libssh2),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
