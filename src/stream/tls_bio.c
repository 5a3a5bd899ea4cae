#include "stream/tls_bio.h"

#include <openssl/err.h>

static struct tls_bio *
link_of(BIO *bio)
{
	return BIO_get_data(bio);
}

/* What OpenSSL understands of a result: 1 moved some, 0 end or failure, and a retry flag. */
static int
finish(BIO *bio, enum stream_result result)
{
	link_of(bio)->result = result;
	return result == STREAM_OK ? 1 : 0;
}

static int
bio_read(BIO *bio, char *into, size_t size, size_t *ret_count)
{
	struct tls_bio *link = link_of(bio);

	BIO_clear_retry_flags(bio);
	enum stream_result result = stream_read(link->lower, into, size, ret_count, link->err);
	if (result == STREAM_AGAIN)
		BIO_set_retry_read(bio);
	return finish(bio, result);
}

static int
bio_write(BIO *bio, const char *bytes, size_t length, size_t *ret_count)
{
	struct tls_bio *link = link_of(bio);
	struct err err;

	BIO_clear_retry_flags(bio);
	enum stream_result result = stream_write(link->lower, bytes, length, ret_count, &err);
	if (result == STREAM_AGAIN) {
		BIO_set_retry_write(bio);
	} else if (result != STREAM_OK) {
		/* An alert that could not be sent: why it was to be is told, and counts. */
		if (ERR_peek_error() != 0)
			return 0;
		if (link->err != NULL)
			*link->err = err;
	}
	return finish(bio, result);
}

static long
bio_ctrl(BIO *bio, int command, long number ATTR_UNUSED, void *pointer ATTR_UNUSED)
{
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1; /* nothing is held back here */
	case BIO_CTRL_EOF:
		return link_of(bio)->result == STREAM_EOF;
	default:
		return 0;
	}
}

BIO_METHOD *
tls_bio_method_new(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");

	if (method == NULL)
		return NULL;
	if (BIO_meth_set_read_ex(method, bio_read) && BIO_meth_set_write_ex(method, bio_write) &&
	    BIO_meth_set_ctrl(method, bio_ctrl))
		return method;
	BIO_meth_free(method);
	return NULL;
}

BIO *
tls_bio_new(const BIO_METHOD *method, struct tls_bio *link)
{
	BIO *bio = BIO_new(method);

	if (bio == NULL)
		return NULL;
	BIO_set_data(bio, link);
	BIO_set_init(bio, 1);
	return bio;
}
