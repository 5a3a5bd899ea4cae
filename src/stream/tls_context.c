#include "stream/tls_context.h"

#include "config/tls_options.h"
#include "stream/tls_bio.h"
#include "stream/tls_error.h"
#include "stream/tls_identity.h"
#include "stream/tls_sessions.h"
#include "stream/tls_trust.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

struct tls_context {
	SSL_CTX *ssl;                  /* owned */
	BIO_METHOD *bio_method;        /* owned */
	const struct service *service; /* borrowed */
};

/* A setting that OpenSSL itself has to like: says which option it was, and OpenSSL's reason. */
static void
check_setting(bool is_accepted, const char *option, const char *value,
	      const struct service *service, struct report *report)
{
	struct err err;

	if (is_accepted)
		return;
	(void)tls_error_set(&err, "OpenSSL does not accept %s = %s", option, value);
	report_add(report, REPORT_ERROR, service_option_at(service, option), "%s", err.text);
}

static void
set_versions(SSL_CTX *ssl, const struct service *service, struct report *report)
{
	const struct service_options *options = &service->options;
	int min = options->ssl_version_min > 0 ? options->ssl_version_min : TLS1_2_VERSION;
	int max = options->ssl_version_max > 0 ? options->ssl_version_max : 0; /* 0: the newest */

	ERR_clear_error();
	check_setting(SSL_CTX_set_min_proto_version(ssl, min) == 1, "sslVersionMin",
		      tls_version_name(min), service, report);
	check_setting(SSL_CTX_set_max_proto_version(ssl, max) == 1, "sslVersionMax",
		      tls_version_name(max), service, report);
}

static void
set_algorithms(SSL_CTX *ssl, const struct service *service, struct report *report)
{
	const struct service_options *options = &service->options;

	ERR_clear_error();
	if (options->ciphers != NULL)
		check_setting(SSL_CTX_set_cipher_list(ssl, options->ciphers) == 1, "ciphers",
			      options->ciphers, service, report);
	if (options->ciphersuites != NULL)
		check_setting(SSL_CTX_set_ciphersuites(ssl, options->ciphersuites) == 1,
			      "ciphersuites", options->ciphersuites, service, report);
	if (options->curves != NULL)
		check_setting(SSL_CTX_set1_groups_list(ssl, options->curves) == 1, "curves",
			      options->curves, service, report);
	/* Unset, it only raises what the system's own policy says. */
	if (options->security_level >= 0)
		SSL_CTX_set_security_level(ssl, options->security_level);
	else if (SSL_CTX_get_security_level(ssl) < 2)
		SSL_CTX_set_security_level(ssl, 2);
}

static void
set_flags(SSL_CTX *ssl, const struct service_options *options)
{
	/* A cache that closes without close_notify is normal: an end-of-file like any other, and
	 * no reason to forget the session. */
	(void)SSL_CTX_set_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF | options->options.set);
	(void)SSL_CTX_clear_options(ssl, options->options.clear);
	if (!options->renegotiation)
		(void)SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION);
	/* What is left over after AGAIN moves from scratch space into a buffer of its own; and an
	 * idle tunnel owns no record buffers. */
	(void)SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
					    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					    SSL_MODE_RELEASE_BUFFERS);
	/* One read for a record instead of two. */
	SSL_CTX_set_read_ahead(ssl, 1);
}

/* `config` = COMMAND[:ARGUMENT], each on top of all that was set before. */
static void
run_commands(SSL_CTX *ssl, const struct service *service, struct report *report)
{
	const struct text_list *commands = &service->options.ssl_config;
	SSL_CONF_CTX *conf;

	if (commands->count == 0)
		return;
	conf = SSL_CONF_CTX_new();
	if (conf == NULL)
		return;
	(void)SSL_CONF_CTX_set_flags(conf, SSL_CONF_FLAG_FILE | SSL_CONF_FLAG_CLIENT |
						   SSL_CONF_FLAG_CERTIFICATE);
	SSL_CONF_CTX_set_ssl_ctx(conf, ssl);
	for (size_t i = 0; i < commands->count; i++) {
		const struct text_item *item = &commands->items[i];
		char command[64];
		size_t length = strcspn(item->text, ":");
		const char *argument = item->text[length] == ':' ? item->text + length + 1 : NULL;

		ERR_clear_error();
		if (length < sizeof command) {
			memcpy(command, item->text, length);
			command[length] = '\0';
			if (SSL_CONF_cmd(conf, command, argument) > 0)
				continue;
		}
		struct err err;
		(void)tls_error_set(&err, "OpenSSL does not accept config = %s", item->text);
		report_add(report, REPORT_ERROR, item->at, "%s", err.text);
	}
	if (SSL_CONF_CTX_finish(conf) != 1)
		report_add(report, REPORT_ERROR, service_option_at(service, "config"),
			   "OpenSSL does not accept the sum of the 'config' lines");
	SSL_CONF_CTX_free(conf);
}

static bool
is_verified(const struct service_options *options)
{
	return options->verify_chain || options->verify_peer;
}

/* The system's store serves every service that adds nothing of its own to it. */
static void
set_trust(SSL_CTX *ssl, const struct service *service, X509_STORE **system_trust,
	  struct report *report)
{
	const struct service_options *options = &service->options;

	if (!is_verified(options))
		return;
	if (tls_trust_is_own(service) || options->crl_file != NULL || options->crl_path != NULL) {
		X509_STORE *own = tls_trust_load(service, report);
		if (own != NULL)
			SSL_CTX_set_cert_store(ssl, own); /* takes it */
		return;
	}
	if (*system_trust == NULL)
		*system_trust = tls_trust_load_system(report, service->at);
	if (*system_trust != NULL)
		SSL_CTX_set1_cert_store(ssl, *system_trust);
}

struct tls_context *
tls_context_new(const struct service *service, X509_STORE **system_trust, struct report *report)
{
	size_t errors_before = report_count(report, REPORT_ERROR);
	struct tls_context *context = calloc(1, sizeof *context);

	if (context == NULL)
		return NULL;
	context->service = service;
	context->bio_method = tls_bio_method_new();
	context->ssl = SSL_CTX_new(TLS_client_method());
	if (context->ssl == NULL || context->bio_method == NULL) {
		report_add(report, REPORT_ERROR, service->at, "OpenSSL cannot make a TLS context");
		goto fail;
	}

	set_versions(context->ssl, service, report);
	set_algorithms(context->ssl, service, report);
	set_flags(context->ssl, &service->options);
	set_trust(context->ssl, service, system_trust, report);
	(void)tls_identity_load(context->ssl, service, report);
	run_commands(context->ssl, service, report);
	tls_sessions_collect(context->ssl);
	if (report_count(report, REPORT_ERROR) == errors_before)
		return context;
fail:
	tls_context_free(context);
	return NULL;
}

void
tls_context_free(struct tls_context *context)
{
	if (context == NULL)
		return;
	SSL_CTX_free(context->ssl);
	BIO_meth_free(context->bio_method);
	free(context);
}

SSL_CTX *
tls_context_ssl(const struct tls_context *context)
{
	return context->ssl;
}

const BIO_METHOD *
tls_context_bio_method(const struct tls_context *context)
{
	return context->bio_method;
}

const struct service_options *
tls_context_options(const struct tls_context *context)
{
	return &context->service->options;
}
