#include "config/tls_options.h"

#include "config/options.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct option_row row = {.name = "options", .type = &option_type_tls_options};

static void
set(struct tls_options *options, const char *text)
{
	struct err err;

	if (!option_set(&row, text, (struct location){0}, options, &err))
		fail_msg("%s: %s", text, err.text);
}

static void
names_set_bits_and_a_minus_clears_them(void **state ATTR_UNUSED)
{
	struct tls_options options = {0};

	set(&options, "NO_TICKET");
	set(&options, "no_sslv3");
	set(&options, "-NO_RENEGOTIATION");
	assert_true(options.set == (SSL_OP_NO_TICKET | SSL_OP_NO_SSLv3));
	assert_true(options.clear == SSL_OP_NO_RENEGOTIATION);
}

static void
the_later_of_two_lines_wins(void **state ATTR_UNUSED)
{
	struct tls_options options = {0};

	set(&options, "NO_TICKET");
	set(&options, "-NO_TICKET");
	assert_true(options.set == 0);
	assert_true(options.clear == SSL_OP_NO_TICKET);
	set(&options, "NO_TICKET");
	assert_true(options.set == SSL_OP_NO_TICKET);
	assert_true(options.clear == 0);
}

static void
names_that_openssl_dropped_are_accepted(void **state ATTR_UNUSED)
{
	struct tls_options options = {0};

	set(&options, "NO_SSLv2");
	set(&options, "SINGLE_ECDH_USE");
	set(&options, "SINGLE_DH_USE");
	assert_true(options.set == 0);
}

static void
unknown_names_are_errors(void **state ATTR_UNUSED)
{
	static const char *const bad[] = {"", "-", "NO_SUCH", "SSL_OP_NO_TICKET", "--NO_TICKET"};

	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		struct tls_options options = {0};
		struct err err;
		assert_false(option_set(&row, bad[i], (struct location){0}, &options, &err));
		assert_non_null(strstr(err.text, "SSL_OP_ names"));
	}
}

static void
versions_have_names(void **state ATTR_UNUSED)
{
	assert_string_equal(tls_version_name(TLS1_2_VERSION), "TLSv1.2");
	assert_string_equal(tls_version_name(TLS_VERSION_ALL), "all");
	assert_string_equal(tls_version_name(TLS_VERSION_UNSET), "unset");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_set_bits_and_a_minus_clears_them),
		cmocka_unit_test(the_later_of_two_lines_wins),
		cmocka_unit_test(names_that_openssl_dropped_are_accepted),
		cmocka_unit_test(unknown_names_are_errors),
		cmocka_unit_test(versions_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
