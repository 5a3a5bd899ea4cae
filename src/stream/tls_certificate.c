#include "stream/tls_certificate.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { SECONDS_A_DAY = 24 * 3600 };

/* One name of a certificate, as text; false for kinds that no option asks for. */
static bool
format_name(const GENERAL_NAME *name, char *out, size_t size)
{
	char address[INET6_ADDRSTRLEN];
	const ASN1_STRING *text;

	if (name->type == GEN_IPADD) {
		const unsigned char *bytes = ASN1_STRING_get0_data(name->d.iPAddress);
		int length = ASN1_STRING_length(name->d.iPAddress);
		int family = length == sizeof(struct in_addr) ? AF_INET : AF_INET6;
		if (family == AF_INET6 && length != sizeof(struct in6_addr))
			return false;
		if (inet_ntop(family, bytes, address, sizeof address) == NULL)
			return false;
		(void)snprintf(out, size, "%s", address);
		return true;
	}
	if (name->type != GEN_DNS && name->type != GEN_EMAIL)
		return false;
	text = name->type == GEN_DNS ? name->d.dNSName : name->d.rfc822Name;
	(void)snprintf(out, size, "%.*s", ASN1_STRING_length(text),
		       (const char *)ASN1_STRING_get0_data(text));
	return true;
}

static GENERAL_NAMES *
get_names(X509 *certificate)
{
	return X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
}

void
tls_certificate_list_names(X509 *certificate, char *out, size_t size)
{
	GENERAL_NAMES *names = get_names(certificate);
	char name[TLS_CERTIFICATE_NAMES_SIZE];
	size_t length = 0;

	out[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && length + 1 < size; i++) {
		if (!format_name(sk_GENERAL_NAME_value(names, i), name, sizeof name))
			continue;
		int written = snprintf(out + length, size - length, "%s'%s'",
				       length > 0 ? ", " : "", name);
		length += written > 0 ? (size_t)written : 0;
	}
	GENERAL_NAMES_free(names);
	if (length == 0)
		(void)snprintf(out, size, "nobody by name");
}

static void
find_first_name(X509 *certificate, char *out, size_t size)
{
	GENERAL_NAMES *names = get_names(certificate);

	out[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && out[0] == '\0'; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type == GEN_DNS)
			(void)format_name(name, out, size);
	}
	GENERAL_NAMES_free(names);
}

static time_t
get_expiry(const X509 *certificate)
{
	int days = 0;
	int seconds = 0;

	if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) != 1)
		return 0;
	return time(NULL) + (time_t)days * SECONDS_A_DAY + seconds;
}

void
tls_certificate_describe(X509 *certificate, struct tls_certificate *ret_certificate)
{
	X509_NAME *issuer = X509_get_issuer_name(certificate);

	*ret_certificate = (struct tls_certificate){.expires_at = get_expiry(certificate)};
	tls_certificate_list_names(certificate, ret_certificate->names,
				   sizeof ret_certificate->names);
	find_first_name(certificate, ret_certificate->first_name,
			sizeof ret_certificate->first_name);
	if (X509_NAME_get_text_by_NID(issuer, NID_commonName, ret_certificate->issuer,
				      sizeof ret_certificate->issuer) <= 0)
		(void)X509_NAME_oneline(issuer, ret_certificate->issuer,
					sizeof ret_certificate->issuer);
}
