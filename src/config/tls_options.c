#include "config/tls_options.h"

#include "base/text.h"
#include "config/options.h"

#include <openssl/ssl.h>
#include <stdint.h>

struct named_bits {
	const char *name;
	uint64_t bits;
};

/* Names with no bits are those that OpenSSL once had: they switch nothing any more. */
static const struct named_bits names[] = {
	{"ALL", SSL_OP_ALL},
	{"ALLOW_CLIENT_RENEGOTIATION", SSL_OP_ALLOW_CLIENT_RENEGOTIATION},
	{"ALLOW_NO_DHE_KEX", SSL_OP_ALLOW_NO_DHE_KEX},
	{"ALLOW_UNSAFE_LEGACY_RENEGOTIATION", SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION},
	{"CIPHER_SERVER_PREFERENCE", SSL_OP_CIPHER_SERVER_PREFERENCE},
	{"CISCO_ANYCONNECT", SSL_OP_CISCO_ANYCONNECT},
	{"CLEANSE_PLAINTEXT", SSL_OP_CLEANSE_PLAINTEXT},
	{"COOKIE_EXCHANGE", SSL_OP_COOKIE_EXCHANGE},
	{"CRYPTOPRO_TLSEXT_BUG", SSL_OP_CRYPTOPRO_TLSEXT_BUG},
	{"DISABLE_TLSEXT_CA_NAMES", SSL_OP_DISABLE_TLSEXT_CA_NAMES},
	{"DONT_INSERT_EMPTY_FRAGMENTS", SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS},
	{"ENABLE_KTLS", SSL_OP_ENABLE_KTLS},
	{"ENABLE_MIDDLEBOX_COMPAT", SSL_OP_ENABLE_MIDDLEBOX_COMPAT},
	{"IGNORE_UNEXPECTED_EOF", SSL_OP_IGNORE_UNEXPECTED_EOF},
	{"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT},
	{"NO_ANTI_REPLAY", SSL_OP_NO_ANTI_REPLAY},
	{"NO_COMPRESSION", SSL_OP_NO_COMPRESSION},
	{"NO_DTLSv1", SSL_OP_NO_DTLSv1},
	{"NO_DTLSv1_2", SSL_OP_NO_DTLSv1_2},
	{"NO_ENCRYPT_THEN_MAC", SSL_OP_NO_ENCRYPT_THEN_MAC},
	{"NO_EXTENDED_MASTER_SECRET", SSL_OP_NO_EXTENDED_MASTER_SECRET},
	{"NO_QUERY_MTU", SSL_OP_NO_QUERY_MTU},
	{"NO_RENEGOTIATION", SSL_OP_NO_RENEGOTIATION},
	{"NO_SESSION_RESUMPTION_ON_RENEGOTIATION", SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION},
	{"NO_SSLv3", SSL_OP_NO_SSLv3},
	{"NO_TICKET", SSL_OP_NO_TICKET},
	{"NO_TLSv1", SSL_OP_NO_TLSv1},
	{"NO_TLSv1_1", SSL_OP_NO_TLSv1_1},
	{"NO_TLSv1_2", SSL_OP_NO_TLSv1_2},
	{"NO_TLSv1_3", SSL_OP_NO_TLSv1_3},
	{"PRIORITIZE_CHACHA", SSL_OP_PRIORITIZE_CHACHA},
	{"SAFARI_ECDHE_ECDSA_BUG", SSL_OP_SAFARI_ECDHE_ECDSA_BUG},
	{"TLSEXT_PADDING", SSL_OP_TLSEXT_PADDING},
	{"TLS_ROLLBACK_BUG", SSL_OP_TLS_ROLLBACK_BUG},
	{"EPHEMERAL_RSA", 0},
	{"MICROSOFT_BIG_SSLV3_BUFFER", 0},
	{"MICROSOFT_SESS_ID_BUG", 0},
	{"MSIE_SSLV2_RSA_PADDING", 0},
	{"NETSCAPE_CA_DN_BUG", 0},
	{"NETSCAPE_CHALLENGE_BUG", 0},
	{"NETSCAPE_DEMO_CIPHER_CHANGE_BUG", 0},
	{"NETSCAPE_REUSE_CIPHER_CHANGE_BUG", 0},
	{"NO_SSLv2", 0},
	{"PKCS1_CHECK_1", 0},
	{"PKCS1_CHECK_2", 0},
	{"SINGLE_DH_USE", 0},
	{"SINGLE_ECDH_USE", 0},
	{"SSLEAY_080_CLIENT_DH_BUG", 0},
	{"SSLREF2_REUSE_CERT_TYPE_BUG", 0},
	{"TLS_BLOCK_PADDING_BUG", 0},
	{"TLS_D5_BUG", 0},
};

static bool
parse_tls_options(const struct option_row *row, const char *text, struct location at ATTR_UNUSED,
		  void *value, struct err *err)
{
	struct tls_options *options = value;
	bool is_clearing = *text == '-';
	const char *name = is_clearing ? text + 1 : text;

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		if (!text_equal_nocase(names[i].name, name))
			continue;
		if (is_clearing) {
			options->clear |= names[i].bits;
			options->set &= ~names[i].bits;
		} else {
			options->set |= names[i].bits;
			options->clear &= ~names[i].bits;
		}
		return true;
	}
	return option_bad_value(row, text, err,
				"must be one of OpenSSL's SSL_OP_ names without that prefix, such "
				"as NO_TICKET, or -NAME to switch it off");
}

static bool
is_equal_tls_options(const void *value, const void *other)
{
	const struct tls_options *options = value;
	const struct tls_options *others = other;

	return options->set == others->set && options->clear == others->clear;
}

const struct option_type option_type_tls_options = {
	.name = "[-]NAME",
	.parse = parse_tls_options,
	.is_equal = is_equal_tls_options,
};

const struct option_choice tls_version_choices[] = {
	{"all", TLS_VERSION_ALL},
	{"SSLv3", SSL3_VERSION},
	{"TLSv1", TLS1_VERSION},
	{"TLSv1.1", TLS1_1_VERSION},
	{"TLSv1.2", TLS1_2_VERSION},
	{"TLSv1.3", TLS1_3_VERSION},
	{NULL, 0},
};

const char *
tls_version_name(int version)
{
	for (const struct option_choice *choice = tls_version_choices; choice->name != NULL;
	     choice++) {
		if (choice->value == version)
			return choice->name;
	}
	return "unset";
}
