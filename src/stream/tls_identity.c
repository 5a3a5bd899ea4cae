#include "stream/tls_identity.h"

#include "stream/tls_error.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <stdio.h>
#include <string.h>

/* A daemon has nobody to ask for a passphrase. */
static int
refuse_passphrase(char *buffer ATTR_UNUSED, int size ATTR_UNUSED, int is_writing ATTR_UNUSED,
		  void *arg)
{
	*(bool *)arg = true;
	return -1;
}

static bool
report_failure(struct report *report, const struct service *service, const char *option,
	       const char *path, const char *what_to_do)
{
	struct err err;

	(void)tls_error_set(&err, "cannot load %s '%s'", option, path);
	report_add(report, REPORT_ERROR, service_option_at(service, option), "%s; %s", err.text,
		   what_to_do);
	return false;
}

/* DER begins with a sequence; PEM is text. */
static bool
is_pkcs12(FILE *file)
{
	int first = getc(file);

	rewind(file);
	return first == 0x30;
}

static bool
use_pkcs12(SSL_CTX *context, FILE *file)
{
	PKCS12 *archive = d2i_PKCS12_fp(file, NULL);
	EVP_PKEY *key = NULL;
	X509 *certificate = NULL;
	STACK_OF(X509) *chain = NULL;
	bool is_used = false;

	if (archive != NULL && PKCS12_parse(archive, "", &key, &certificate, &chain) == 1 &&
	    certificate != NULL)
		is_used = SSL_CTX_use_cert_and_key(context, certificate, key, chain, 1) == 1;
	sk_X509_pop_free(chain, X509_free);
	X509_free(certificate);
	EVP_PKEY_free(key);
	PKCS12_free(archive);
	return is_used;
}

static bool
load_key(SSL_CTX *context, const struct service *service, struct report *report)
{
	const struct service_options *options = &service->options;
	const char *option = options->key != NULL ? "key" : "cert";
	const char *path = options->key != NULL ? options->key : options->cert;
	bool is_encrypted = false;

	SSL_CTX_set_default_passwd_cb(context, refuse_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(context, &is_encrypted);
	ERR_clear_error();
	bool is_used = SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) == 1;
	SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
	if (is_used)
		return true;
	if (is_encrypted) {
		ERR_clear_error();
		report_add(report, REPORT_ERROR, service_option_at(service, option),
			   "the key in %s '%s' is encrypted, and a daemon has nobody to ask for "
			   "its passphrase; decrypt it with: openssl pkey -in '%s' -out FILE",
			   option, path, path);
		return false;
	}
	return report_failure(report, service, option, path,
			      "it must be a readable PEM file with the private key that belongs "
			      "to the certificate of 'cert'");
}

bool
tls_identity_load(SSL_CTX *context, const struct service *service, struct report *report)
{
	const struct service_options *options = &service->options;

	if (options->cert == NULL)
		return true;

	FILE *file = fopen(options->cert, "rb");
	if (file == NULL) {
		report_add(report, REPORT_ERROR, service_option_at(service, "cert"),
			   "cannot open cert '%s': %s", options->cert, strerror(errno));
		return false;
	}
	bool is_archive = is_pkcs12(file);
	ERR_clear_error();
	bool is_used = is_archive ? use_pkcs12(context, file)
				  : SSL_CTX_use_certificate_chain_file(context, options->cert) == 1;
	(void)fclose(file);
	if (!is_used)
		return report_failure(report, service, "cert", options->cert,
				      is_archive ? "a PKCS#12 file must hold a certificate with "
						   "its key, and have an empty password"
						 : "it must be a PEM certificate");
	return is_archive || load_key(context, service, report);
}
