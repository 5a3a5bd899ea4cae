#include "stream/tls_stream.h"

#include "config/options.h"
#include "stream/tls_bio.h"
#include "stream/tls_certificate.h"
#include "stream/tls_context.h"
#include "stream/tls_error.h"
#include "stream/tls_peer.h"
#include "stream/tls_sessions.h"
#include "stream/tls_verify.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * The mismatch this file deals with: what OpenSSL does on one side may need the other side below
 * (a read may have to write first, and the reverse). So each direction remembers which event of
 * the lower stream it waits for, and the interest below is computed from that and from what our
 * own holder waits for.
 */

struct tls_stream {
	struct stream stream; /* first, so that the two can be cast */
	struct stream *lower; /* owned */
	SSL *ssl;             /* owned */
	struct tls_bio bio;
	struct tls_peer peer;

	struct err *early_failure; /* owned; of the first step, told later; NULL: none */
	tls_handshake_cb *on_done; /* NULL once the handshake is over */
	void *on_done_arg;

	unsigned read_waits_for; /* enum stream_interest of the lower stream */
	unsigned write_waits_for;
	bool has_pending;      /* bytes inside OpenSSL that may be a whole record */
	bool is_broken;        /* a fatal error: OpenSSL must not be asked to say goodbye */
	bool has_said_goodbye; /* close_notify is out */
};

static struct tls_stream *
from_stream(struct stream *stream)
{
	return (struct tls_stream *)(void *)stream;
}

static const struct tls_stream *
from_const_stream(const struct stream *stream)
{
	return (const struct tls_stream *)(const void *)stream;
}

/* Before each call into OpenSSL: its error queue is per thread and must be empty for
 * SSL_get_error() to mean this call. Looking first spares the sweep over all 16 places of it. */
static void
prepare(struct tls_stream *tls, struct err *err)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
	tls->bio.err = err;
	tls->bio.result = STREAM_OK;
	tls->peer.err = err;
}

/* What a call that did not succeed means. `waits_for` gets the lower event to wait for. */
static enum stream_result
classify(struct tls_stream *tls, int returned, unsigned *waits_for, struct err *err)
{
	switch (SSL_get_error(tls->ssl, returned)) {
	case SSL_ERROR_WANT_READ:
		*waits_for = STREAM_READ;
		return STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		*waits_for = STREAM_WRITE;
		return STREAM_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return STREAM_EOF;
	default:
		tls->is_broken = true;
		if (tls->bio.result != STREAM_OK && tls->bio.result != STREAM_AGAIN)
			return tls->bio.result; /* the stream below failed, and told err */
		if (!tls->peer.is_refused)
			(void)tls_error_set(err, "TLS failed");
		return STREAM_FAILED;
	}
}

static void
update_lower_interest(struct tls_stream *tls)
{
	unsigned wanted = tls->on_done != NULL ? tls->read_waits_for : 0;

	if (tls->stream.interest & STREAM_READ)
		wanted |= tls->read_waits_for;
	if (tls->stream.interest & STREAM_WRITE)
		wanted |= tls->write_waits_for;
	stream_set_interest(tls->lower, wanted);
}

static enum stream_result
tls_read(struct stream *stream, void *into, size_t size, size_t *ret_count, struct err *err)
{
	struct tls_stream *tls = from_stream(stream);

	prepare(tls, err);
	int returned = SSL_read_ex(tls->ssl, into, size, ret_count);
	if (returned == 1) {
		tls->has_pending = SSL_has_pending(tls->ssl) == 1;
		return STREAM_OK;
	}
	tls->has_pending = false;
	tls->read_waits_for = STREAM_READ;
	return classify(tls, returned, &tls->read_waits_for, err);
}

static enum stream_result
tls_write(struct stream *stream, const void *bytes, size_t length, size_t *ret_count,
	  struct err *err)
{
	struct tls_stream *tls = from_stream(stream);

	prepare(tls, err);
	int returned = SSL_write_ex(tls->ssl, bytes, length, ret_count);
	if (returned == 1)
		return STREAM_OK;
	tls->write_waits_for = STREAM_WRITE;
	return classify(tls, returned, &tls->write_waits_for, err);
}

static enum stream_result
tls_shutdown(struct stream *stream, struct err *err)
{
	struct tls_stream *tls = from_stream(stream);

	if (!tls->has_said_goodbye && !tls->is_broken) {
		prepare(tls, err);
		int returned = SSL_shutdown(tls->ssl); /* 0: ours is out, theirs has not come */
		tls->write_waits_for = STREAM_WRITE;
		if (returned < 0) {
			enum stream_result result = classify(tls, returned, &tls->write_waits_for,
							     err);
			if (result != STREAM_OK)
				return result;
		}
		/* OpenSSL 3.0 says so too when it still has ours to write, at the second call. */
		if (returned == 0 && tls->bio.result == STREAM_AGAIN)
			return STREAM_AGAIN;
		tls->has_said_goodbye = true;
	}
	return stream_shutdown(tls->lower, err);
}

static bool
tls_has_pending(const struct stream *stream)
{
	const struct tls_stream *tls = from_const_stream(stream);

	return tls->has_pending || stream_has_pending(tls->lower);
}

static void
tls_set_interest(struct stream *stream, unsigned interest ATTR_UNUSED)
{
	update_lower_interest(from_stream(stream));
}

static void
tls_reset_on_close(struct stream *stream)
{
	stream_reset_on_close(from_stream(stream)->lower);
}

static void
tls_set_urgent(struct stream *stream, bool is_urgent)
{
	stream_set_urgent(from_stream(stream)->lower, is_urgent);
}

static void
tls_free(struct stream *stream)
{
	struct tls_stream *tls = from_stream(stream);

	/* Freed without a shutdown, OpenSSL would mark its session as not to be resumed. */
	if (tls->ssl != NULL && !tls->is_broken)
		SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(tls->ssl);
	X509_free(tls->peer.refused);
	free(tls->early_failure);
	stream_free(tls->lower);
	free(tls);
}

static const struct stream_ops tls_ops = {
	.read = tls_read,
	.write = tls_write,
	.shutdown = tls_shutdown,
	.has_pending = tls_has_pending,
	.set_interest = tls_set_interest,
	.reset_on_close = tls_reset_on_close,
	.set_urgent = tls_set_urgent,
	.free = tls_free,
};

static void
finish_handshake(struct tls_stream *tls, const struct err *err)
{
	tls_handshake_cb *on_done = tls->on_done;

	tls->on_done = NULL;
	tls->read_waits_for = STREAM_READ;
	/* The server's first bytes may have come in one piece with its Finished. */
	tls->has_pending = SSL_has_pending(tls->ssl) == 1;
	update_lower_interest(tls);
	on_done(tls->on_done_arg, err);
}

/* Goes as far as the lower stream allows: STREAM_OK when the handshake is done, STREAM_AGAIN when
 * it waits, else `err` says why it failed. */
static enum stream_result
step_handshake(struct tls_stream *tls, struct err *err)
{
	prepare(tls, err);
	int returned = SSL_do_handshake(tls->ssl);
	if (returned == 1)
		return STREAM_OK;
	enum stream_result result = classify(tls, returned, &tls->read_waits_for, err);
	if (result == STREAM_AGAIN) {
		update_lower_interest(tls);
	} else if (result == STREAM_EOF) {
		(void)err_set(err, "the server closed the connection during the handshake");
		(void)err_mark(err, ERR_DISCONNECTED);
	}
	return result;
}

static void
go_on_with_handshake(struct tls_stream *tls)
{
	struct err err = {{0}};
	enum stream_result result;

	if (tls->early_failure != NULL) {
		finish_handshake(tls, tls->early_failure);
		return;
	}
	result = step_handshake(tls, &err);
	if (result != STREAM_AGAIN)
		finish_handshake(tls, result == STREAM_OK ? NULL : &err);
}

static void
on_lower_ready(void *arg, struct stream *lower ATTR_UNUSED, unsigned ready)
{
	struct tls_stream *tls = arg;
	unsigned ours = 0;

	if (tls->on_done != NULL) {
		go_on_with_handshake(tls);
		return;
	}
	if (ready & tls->read_waits_for)
		ours |= STREAM_READ;
	if (ready & tls->write_waits_for)
		ours |= STREAM_WRITE;
	stream_notify(&tls->stream, ours & tls->stream.interest);
}

/* RFC 6066, section 3: a literal address is not a name and is not sent. */
static bool
is_name(const char *host)
{
	struct in6_addr address;

	return host != NULL && host[0] != '\0' && inet_pton(AF_INET, host, &address) != 1 &&
	       inet_pton(AF_INET6, host, &address) != 1;
}

static int
on_certificate_request(SSL *ssl ATTR_UNUSED, void *arg)
{
	struct tls_peer *peer = arg;

	peer->has_asked_for_us = true;
	return 1; /* goes on with what tls_identity has loaded, if anything */
}

static bool
set_up_ssl(struct tls_stream *tls, const struct tls_stream_request *request)
{
	const struct service_options *options = tls->peer.options;
	const char *sni = options->sni != NULL ? options->sni : request->host;
	BIO *bio;

	tls->ssl = SSL_new(tls_context_ssl(request->context));
	bio = tls_bio_new(tls_context_bio_method(request->context), &tls->bio);
	if (tls->ssl == NULL || bio == NULL) {
		BIO_free(bio);
		return false;
	}
	SSL_set_bio(tls->ssl, bio, bio); /* takes it */
	SSL_set_connect_state(tls->ssl);
	SSL_set_app_data(tls->ssl, &tls->peer);
	SSL_set_cert_cb(tls->ssl, on_certificate_request, &tls->peer);
	if (options->verify_chain || options->verify_peer)
		tls_verify_attach(tls->ssl);
	/* As SSL_set_tlsext_host_name(), whose cast drops the const; OpenSSL copies the name. */
	if (is_name(sni) && SSL_ctrl(tls->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME,
				     TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)sni) != 1)
		return false;

	SSL_SESSION *session = NULL;
	if (request->sessions != NULL)
		session = tls_sessions_take(request->sessions, request->endpoint,
					    &tls->peer.verified_at);
	if (session != NULL) {
		(void)SSL_set_session(tls->ssl, session);
		SSL_SESSION_free(session);
	}
	return true;
}

static struct tls_stream *
new_tls_stream(const struct tls_stream_request *request, struct stream *lower)
{
	struct tls_stream *tls = calloc(1, sizeof *tls);

	if (tls == NULL) {
		stream_free(lower);
		return NULL;
	}
	stream_init(&tls->stream, &tls_ops);
	tls->lower = lower;
	tls->bio.lower = lower;
	tls->read_waits_for = STREAM_READ;
	tls->write_waits_for = STREAM_WRITE;
	tls->peer = (struct tls_peer){
		.options = tls_context_options(request->context),
		.host = request->host,
		.sessions = request->sessions,
		.endpoint = request->endpoint,
	};
	if (set_up_ssl(tls, request))
		return tls;
	tls_free(&tls->stream);
	return NULL;
}

struct stream *
tls_stream_start(const struct tls_stream_request *request, struct stream *lower,
		 tls_handshake_cb *on_done, void *arg, struct err *err)
{
	struct tls_stream *tls = new_tls_stream(request, lower);

	if (tls == NULL) {
		(void)err_set(err, "out of memory");
		return NULL;
	}
	tls->on_done = on_done;
	tls->on_done_arg = arg;
	stream_set_handler(lower, on_lower_ready, tls);
	enum stream_result result = step_handshake(tls, err);
	if (result == STREAM_AGAIN)
		return &tls->stream;
	/* A server this close answers before we come to wait; but on_done runs later. */
	if (result != STREAM_OK) {
		tls->early_failure = malloc(sizeof *tls->early_failure);
		if (tls->early_failure == NULL) {
			tls_free(&tls->stream);
			return NULL;
		}
		*tls->early_failure = *err;
	}
	tls->read_waits_for = STREAM_WRITE;
	update_lower_interest(tls);
	return &tls->stream;
}

const char *
tls_stream_version(const struct stream *stream)
{
	return SSL_get_version(from_const_stream(stream)->ssl);
}

const char *
tls_stream_cipher(const struct stream *stream)
{
	return SSL_get_cipher_name(from_const_stream(stream)->ssl);
}

bool
tls_stream_is_resumed(const struct stream *stream)
{
	return SSL_session_reused(from_const_stream(stream)->ssl) == 1;
}

bool
tls_stream_has_asked_for_us(const struct stream *stream)
{
	return from_const_stream(stream)->peer.has_asked_for_us;
}

bool
tls_stream_get_certificate(const struct stream *stream, struct tls_certificate *ret_certificate)
{
	const struct tls_stream *tls = from_const_stream(stream);
	X509 *certificate = tls->peer.refused != NULL ? tls->peer.refused
						      : SSL_get0_peer_certificate(tls->ssl);
	const STACK_OF(X509) *chain = SSL_get_peer_cert_chain(tls->ssl);

	if (certificate == NULL)
		return false;
	tls_certificate_describe(certificate, ret_certificate);
	ret_certificate->chain_length = chain != NULL ? sk_X509_num(chain) : 1;
	return true;
}
