/* What OpenSSL hears of the stream below, and what is kept of it. */

#include "stream/tls_bio.h"

#include "base/attributes.h"
#include "scripted_stream.h"

#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Begins a handshake over a stream that does as written; returns what SSL_get_error() says. */
static int
shake_hands(const char *reads, const char *writes, struct tls_bio *link)
{
	struct event_base *base = event_base_new();
	BIO_METHOD *method = tls_bio_method_new();
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(context);

	link->lower = scripted_stream_new(base, reads, writes);
	BIO *bio = tls_bio_new(method, link);
	assert_non_null(bio);
	SSL_set_bio(ssl, bio, bio);
	int error = SSL_get_error(ssl, SSL_connect(ssl));
	SSL_free(ssl);
	SSL_CTX_free(context);
	BIO_meth_free(method);
	stream_free(link->lower);
	event_base_free(base);
	return error;
}

static void
the_failure_counts_and_not_its_alert(void **state ATTR_UNUSED)
{
	struct err err = {{0}};
	struct tls_bio link = {.err = &err};

	/* The head of a record that is too long, from somebody who is gone before hearing of it. */
	assert_int_equal(shake_hands("data:\x16\x03\x03\x7f\x7f", "take:4000 reset", &link),
			 SSL_ERROR_SSL);
	assert_int_equal(ERR_GET_LIB(ERR_get_error()), ERR_LIB_SSL);
	assert_int_equal(link.result, STREAM_OK);
	assert_string_equal(err.text, "");
	ERR_clear_error();
}

static void
a_failure_below_is_kept(void **state ATTR_UNUSED)
{
	struct err err = {{0}};
	struct tls_bio link = {.err = &err};

	assert_int_equal(shake_hands("reset", "", &link), SSL_ERROR_SYSCALL);
	assert_int_equal(link.result, STREAM_RESET);
	assert_string_equal(err.text, "as scripted");
	ERR_clear_error();
}

static void
what_has_not_come_yet_is_no_failure(void **state ATTR_UNUSED)
{
	struct tls_bio link = {0};

	assert_int_equal(shake_hands("again", "", &link), SSL_ERROR_WANT_READ);
	assert_int_equal(shake_hands("", "again", &link), SSL_ERROR_WANT_WRITE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_failure_counts_and_not_its_alert),
		cmocka_unit_test(a_failure_below_is_kept),
		cmocka_unit_test(what_has_not_come_yet_is_no_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
