#include "key_fixture.h"

#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Whether it gave a key; then it must be the file's own. */
static bool
try_damaged(size_t file, const char *text, size_t length)
{
	char expected[KEY_FIXTURE_SIZE];
	enum private_key_failure failure = PRIVATE_KEY_MISSING;
	struct err err = {""};
	struct private_key *key = private_key_parse(text, length, key_fixture_passphrase, &failure,
						    &err);

	if (key == NULL) {
		assert_int_not_equal(failure, PRIVATE_KEY_MISSING);
		assert_int_not_equal(failure, PRIVATE_KEY_NEEDS_PASSPHRASE);
		assert_string_not_equal(err.text, "");
		return false;
	}
	key_fixture_read_line(
		key_fixture_path(key_fixture_kind(key_fixtures[file].file)->name, ".fingerprint"),
		expected);
	if (!key_fixtures[file].is_any_key_good)
		assert_string_equal(private_key_fingerprint(key), expected);
	private_key_free(key);
	return true;
}

static void
what_is_cut_off_is_refused(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < KEY_FIXTURE_COUNT; i++) {
		char text[KEY_FIXTURE_SIZE];
		size_t length = key_fixture_read(key_fixture_path(key_fixtures[i].file, ""), text);
		for (size_t cut = 0; cut + 1 < length; cut++) {
			/* In memory of its own, so that reading on is noticed. */
			char *exact = malloc(cut > 0 ? cut : 1);
			assert_non_null(exact);
			memcpy(exact, text, cut);
			if (try_damaged(i, exact, cut))
				fail_msg("%s: still a key when cut to %zu", key_fixtures[i].file,
					 cut);
			free(exact);
		}
	}
}

/* A key's text is proven by nothing but its own sense: it fails, or it is the same. */
static void
a_changed_byte_never_gives_another_key(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < KEY_FIXTURE_COUNT; i++) {
		char text[KEY_FIXTURE_SIZE];
		size_t length = key_fixture_read(key_fixture_path(key_fixtures[i].file, ""), text);
		/* Unlocking is slow on purpose. */
		size_t step = strstr(key_fixtures[i].file, ".openssh-") != NULL ? 149
			      : key_fixtures[i].is_encrypted                    ? 7
										: 1;
		size_t start = key_fixtures[i].is_encrypted ? i % step : 0;
		for (size_t at = start; at < length; at += step) {
			text[at] ^= 1;
			(void)try_damaged(i, text, length);
			text[at] ^= 1;
		}
	}
}

/* The armour anew around changed bytes. */
static bool
try_bytes(size_t file, const unsigned char *bytes, long length)
{
	char *text;
	BIO *bio = BIO_new(BIO_s_mem());

	assert_true(PEM_write_bio(bio, "OPENSSH PRIVATE KEY", "", bytes, length) > 0);
	long text_length = BIO_get_mem_data(bio, &text);
	bool is_key = try_damaged(file, text, (size_t)text_length);
	BIO_free(bio);
	return is_key;
}

/* Without armour, so that a bit of every byte of every number is met. Only the
 * comment may change unnoticed. */
static void
a_changed_bit_in_openssh_format_never_gives_another_key(void **state ATTR_UNUSED)
{
	enum { COMMENT_LENGTH = 4 };

	for (size_t i = 0; i < KEY_FIXTURE_COUNT; i++) {
		char *label;
		char *header;
		unsigned char *bytes;
		long length;
		unsigned unnoticed = 0;
		const char *format = strchr(key_fixtures[i].file, '.');
		if (strcmp(format, ".openssh") != 0)
			continue;
		FILE *file = fopen(key_fixture_path(key_fixtures[i].file, ""), "r");
		assert_non_null(file);
		assert_int_equal(PEM_read(file, &label, &header, &bytes, &length), 1);
		(void)fclose(file);
		for (long at = 0; at < length; at++) {
			bytes[at] ^= (unsigned char)(1 << at % 8);
			unnoticed += try_bytes(i, bytes, length);
			bytes[at] ^= (unsigned char)(1 << at % 8);
		}
		assert_int_equal(unnoticed, COMMENT_LENGTH);
		OPENSSL_free(label);
		OPENSSL_free(header);
		OPENSSL_free(bytes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_cut_off_is_refused),
		cmocka_unit_test(a_changed_byte_never_gives_another_key),
		cmocka_unit_test(a_changed_bit_in_openssh_format_never_gives_another_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
