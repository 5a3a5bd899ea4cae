#include "stream/tls_verify.h"

#include "base/err.h"
#include "config/options.h"
#include "stream/tls_certificate.h"
#include "stream/tls_peer.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 160, DATE_SIZE = 40 };

static bool
is_ip_literal(const char *host)
{
	struct in6_addr address;

	return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

static bool
any_matches(X509 *certificate, const struct text_list *texts,
	    bool (*matches)(X509 *certificate, const char *text))
{
	for (size_t i = 0; i < texts->count; i++) {
		if (matches(certificate, texts->items[i].text))
			return true;
	}
	return false;
}

static bool
matches_host(X509 *certificate, const char *host)
{
	return X509_check_host(certificate, host, 0, 0, NULL) == 1;
}

static bool
matches_ip(X509 *certificate, const char *ip)
{
	return X509_check_ip_asc(certificate, ip, 0) == 1;
}

static bool
matches_email(X509 *certificate, const char *email)
{
	return X509_check_email(certificate, email, 0, 0) == 1;
}

/* Whether the certificate belongs to whom we meant: by the options where there are any, else by
 * the endpoint's name. A pinned certificate is its own proof and needs no name. */
static bool
has_right_subject(const struct tls_peer *peer, X509 *certificate)
{
	const struct service_options *options = peer->options;

	if (options->check_host.count + options->check_ip.count + options->check_email.count > 0)
		return any_matches(certificate, &options->check_host, matches_host) ||
		       any_matches(certificate, &options->check_ip, matches_ip) ||
		       any_matches(certificate, &options->check_email, matches_email);
	if (!options->verify_chain)
		return true;
	if (peer->host == NULL)
		return false; /* a unix socket has no name to compare; config.c asks for checkHost */
	if (is_ip_literal(peer->host))
		return matches_ip(certificate, peer->host);
	return matches_host(certificate, peer->host);
}

/* What was looked for: the first of the options that say so, or the endpoint's own name. */
static void
describe_wanted(const struct tls_peer *peer, char *out, size_t size)
{
	const struct service_options *options = peer->options;

	if (options->check_host.count > 0)
		(void)snprintf(out, size, "checkHost '%s'", options->check_host.items[0].text);
	else if (options->check_ip.count > 0)
		(void)snprintf(out, size, "checkIP '%s'", options->check_ip.items[0].text);
	else if (options->check_email.count > 0)
		(void)snprintf(out, size, "checkEmail '%s'", options->check_email.items[0].text);
	else
		(void)snprintf(out, size, "the name '%s'",
			       peer->host != NULL ? peer->host : "(none)");
}

/* `certificate` may be NULL: it is not known which. */
static void
refuse(struct tls_peer *peer, X509 *certificate)
{
	peer->is_refused = true;
	if (certificate == NULL || peer->refused != NULL)
		return;
	(void)X509_up_ref(certificate);
	peer->refused = certificate;
}

static void
refuse_subject(struct tls_peer *peer, X509 *certificate)
{
	char names[TLS_CERTIFICATE_NAMES_SIZE];
	char wanted[NAME_SIZE];

	tls_certificate_list_names(certificate, names, sizeof names);
	describe_wanted(peer, wanted, sizeof wanted);
	refuse(peer, certificate);
	(void)err_set(peer->err,
		      "the server's certificate does not match %s: it is for %s; if that is the "
		      "right server, say so with checkHost",
		      wanted, names);
	(void)err_mark(peer->err, ERR_CERTIFICATE_NAME);
}

static void
format_date(const ASN1_TIME *date, char *out, size_t size)
{
	struct tm parts;

	if (ASN1_TIME_to_tm(date, &parts) != 1 ||
	    strftime(out, size, "%Y-%m-%d %H:%M UTC", &parts) == 0)
		(void)snprintf(out, size, "an unreadable date");
}

/* What to do about it, where that is known. */
static const char *
advice(int error)
{
	switch (error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return "it must be renewed, or this machine's clock is wrong; only verifyChain = no "
		       "would let it pass, and any impostor with it";
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "is this machine's clock right? only verifyChain = no would let it pass, and "
		       "any impostor with it";
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		return "to trust just this certificate, name it with CAfile and verifyPeer = yes";
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return "the CA that issued it is not trusted here: name it with CAfile or CApath";
	case X509_V_ERR_INVALID_PURPOSE:
		return "it was not issued for a TLS server; only verifyChain = no would let it pass, and "
		       "any impostor with it";
	case X509_V_ERR_CERT_REVOKED:
		return "it is on the list of CRLfile or CRLpath: whoever runs the endpoint must "
		       "replace it";
	case X509_V_ERR_UNABLE_TO_GET_CRL:
	case X509_V_ERR_CRL_HAS_EXPIRED:
		return "CRLfile or CRLpath needs a current list of every CA in the chain";
	case X509_V_ERR_CA_KEY_TOO_SMALL:
	case X509_V_ERR_EE_KEY_TOO_SMALL:
	case X509_V_ERR_CA_MD_TOO_WEAK:
		return "its key or signature is too weak for securityLevel";
	default:
		return "verifyChain and verifyPeer decide what is checked";
	}
}

static enum err_kind
kind_of(int error)
{
	switch (error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return ERR_CERTIFICATE_EXPIRED;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return ERR_CERTIFICATE_UNTRUSTED;
	default:
		return ERR_CERTIFICATE_REJECTED;
	}
}

static void
refuse_chain(struct tls_peer *peer, X509_STORE_CTX *chain)
{
	int error = X509_STORE_CTX_get_error(chain);
	X509 *certificate = X509_STORE_CTX_get_current_cert(chain);
	char subject[NAME_SIZE] = "?";
	char date[DATE_SIZE] = "";
	char when[DATE_SIZE + 16] = "";

	refuse(peer, X509_STORE_CTX_get0_cert(chain));
	if (certificate != NULL) {
		(void)X509_NAME_oneline(X509_get_subject_name(certificate), subject,
					sizeof subject);
		if (error == X509_V_ERR_CERT_HAS_EXPIRED)
			format_date(X509_get0_notAfter(certificate), date, sizeof date);
		else if (error == X509_V_ERR_CERT_NOT_YET_VALID)
			format_date(X509_get0_notBefore(certificate), date, sizeof date);
		if (date[0] != '\0')
			(void)snprintf(when, sizeof when, " (%s)", date);
	}
	(void)err_set(
		peer->err,
		"the server's certificate is not accepted: %s%s, at depth %d, subject '%s'; %s",
		X509_verify_cert_error_string(error), when, X509_STORE_CTX_get_error_depth(chain),
		subject, advice(error));
	(void)err_mark(peer->err, kind_of(error));
}

/* verifyPeer: the server's own certificate must be among the trusted ones, byte for byte. */
static bool
is_pinned(X509_STORE_CTX *chain, X509 *certificate)
{
	STACK_OF(X509) *same_name = X509_STORE_CTX_get1_certs(chain,
							      X509_get_subject_name(certificate));
	bool is_found = false;

	for (int i = 0; i < sk_X509_num(same_name) && !is_found; i++)
		is_found = X509_cmp(sk_X509_value(same_name, i), certificate) == 0;
	sk_X509_pop_free(same_name, X509_free);
	return is_found;
}

/* OpenSSL calls this for each certificate of the chain, the server's own (depth 0) last, and for
 * each error. Returning 0 ends the handshake with an alert. */
static int
on_verify(int is_ok, X509_STORE_CTX *chain)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_peer *peer = SSL_get_app_data(ssl);
	X509 *certificate = X509_STORE_CTX_get_current_cert(chain);

	if (!is_ok) {
		refuse_chain(peer, chain);
		return 0;
	}
	if (X509_STORE_CTX_get_error_depth(chain) > 0)
		return 1;
	if (peer->options->verify_peer && !is_pinned(chain, certificate)) {
		refuse(peer, certificate);
		(void)err_set(peer->err, "the server's certificate is not in CAfile or CApath, "
					 "as verifyPeer asks");
		(void)err_mark(peer->err, ERR_CERTIFICATE_UNTRUSTED);
		X509_STORE_CTX_set_error(chain, X509_V_ERR_CERT_REJECTED);
		return 0;
	}
	if (!has_right_subject(peer, certificate)) {
		refuse_subject(peer, certificate);
		X509_STORE_CTX_set_error(chain, X509_V_ERR_HOSTNAME_MISMATCH);
		return 0;
	}
	return 1;
}

void
tls_verify_attach(SSL *ssl)
{
	SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verify);
}
