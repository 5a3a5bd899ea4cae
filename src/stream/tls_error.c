#include "stream/tls_error.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct meaning {
	enum err_kind kind;
	const char *advice; /* what to do about the failures that users meet */
};

static struct meaning
meaning_of(unsigned long code)
{
	static const struct meaning nothing_special = {ERR_TLS_HANDSHAKE, ""};

	if (ERR_GET_LIB(code) != ERR_LIB_SSL)
		return nothing_special;
	switch (ERR_GET_REASON(code)) {
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_HTTP_REQUEST:
		return (struct meaning){
			ERR_TLS_NONE,
			"; the endpoint does not seem to speak TLS: is encryption in transit on "
			"there? plain = yes forwards without it"};
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
	case SSL_R_NO_PROTOCOLS_AVAILABLE:
		return (struct meaning){ERR_TLS_VERSION,
					"; the two sides share no TLS version: see sslVersionMin "
					"and sslVersionMax"};
	case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
		return (struct meaning){
			ERR_TLS_HANDSHAKE,
			"; the two sides share no cipher or curve, or the server wants a client "
			"certificate: see ciphers, ciphersuites, curves, cert"};
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
		return (struct meaning){ERR_CERTIFICATE_OURS_NEEDED,
					"; the server wants a client certificate: see cert and "
					"key"};
	case SSL_R_LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED:
		return (struct meaning){ERR_TLS_VERSION, "; TLS below 1.2 needs securityLevel = 0"};
	case SSL_R_DH_KEY_TOO_SMALL:
		return (struct meaning){ERR_TLS_HANDSHAKE, "; see securityLevel"};
	default:
		return nothing_special;
	}
}

/* OpenSSL queues the innermost cause first. It is the telling one, except where a system call
 * failed: then its text is errno's. */
static void
first_reason(unsigned long code, char *out, size_t size)
{
	const char *reason = NULL;

	if (code != 0 && ERR_SYSTEM_ERROR(code)) {
		if (strerror_r(ERR_GET_REASON(code), out, size) == 0)
			return;
	} else if (code != 0) {
		reason = ERR_reason_error_string(code);
	}
	(void)snprintf(out, size, "%s", reason != NULL ? reason : "unknown error");
}

bool
tls_error_set(struct err *err, const char *format, ...)
{
	char what[ERR_TEXT_SIZE];
	char reason[128];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	unsigned long code = ERR_get_error();
	first_reason(code, reason, sizeof reason);
	ERR_clear_error();
	struct meaning meaning = meaning_of(code);
	(void)err_set(err, "%s: %s%s", what, reason, meaning.advice);
	return err_mark(err, meaning.kind);
}
