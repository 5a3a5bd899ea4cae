#include "stream/tls_trust.h"

#include "base/memory.h"
#include "stream/tls_error.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/store.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>

static int
count_objects(X509_STORE *store)
{
	return sk_X509_OBJECT_num(X509_STORE_get0_objects(store));
}

/* OpenSSL looks for certificates as 1a2b3c4d.0 and for revocation lists as 1a2b3c4d.r0; other
 * files in such a folder are not meant (often they are the same ones under readable names). */
static bool
is_hashed_name(const char *name)
{
	size_t hash = strspn(name, "0123456789abcdef");

	if (hash != 8 || name[hash] != '.')
		return false;
	name += hash + 1;
	if (*name == 'r')
		name++;
	return *name != '\0' && name[strspn(name, "0123456789")] == '\0';
}

/* Adds every hashed file of the folder; one that cannot be read is passed over, as OpenSSL
 * would. Returns how many were read; -1, with errno set, when the folder cannot be. */
static int
add_directory(X509_STORE *store, const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int count = 0;

	if (directory == NULL)
		return -1;
	while ((entry = readdir(directory)) != NULL) {
		if (!is_hashed_name(entry->d_name))
			continue;
		char *file = memory_format("%s/%s", path, entry->d_name);
		count += X509_STORE_load_file(store, file) == 1;
		free(file);
	}
	(void)closedir(directory);
	ERR_clear_error();
	return count;
}

static const char *
environment_or(const char *variable, const char *otherwise)
{
	const char *value = getenv(variable);

	return value != NULL ? value : otherwise;
}

X509_STORE *
tls_trust_load_system(struct report *report, struct location at)
{
	const char *file = environment_or(X509_get_default_cert_file_env(),
					  X509_get_default_cert_file());
	const char *folders = environment_or(X509_get_default_cert_dir_env(),
					     X509_get_default_cert_dir());
	X509_STORE *store = X509_STORE_new();
	char *list = memory_copy_text(folders);
	char *rest = NULL;

	if (store == NULL)
		goto out;
	(void)X509_STORE_load_file(store, file);
	for (char *path = strtok_r(list, ":", &rest); path != NULL;
	     path = strtok_r(NULL, ":", &rest))
		(void)add_directory(store, path);
	if (count_objects(store) == 0) {
		report_add(report, REPORT_ERROR, at,
			   "this system trusts no CA: there is no certificate in '%s' or '%s'; "
			   "install the package ca-certificates, or name a file with CAfile",
			   file, folders);
		X509_STORE_free(store);
		store = NULL;
	}
out:
	ERR_clear_error();
	free(list);
	return store;
}

static void
load_file(X509_STORE *store, const struct service *service, const char *option, const char *path,
	  struct report *report)
{
	struct err err;

	if (path == NULL)
		return;
	ERR_clear_error();
	if (X509_STORE_load_file(store, path) == 1)
		return;
	(void)tls_error_set(&err, "cannot load %s '%s'", option, path);
	report_add(report, REPORT_ERROR, service_option_at(service, option),
		   "%s; it must be a readable PEM file", err.text);
}

static void
load_directory(X509_STORE *store, const struct service *service, const char *option,
	       const char *path, struct report *report)
{
	struct err err;

	if (path == NULL)
		return;
	int count = add_directory(store, path);
	if (count < 0) {
		(void)err_set_errno(&err, errno, "cannot read %s '%s'", option, path);
		report_add(report, REPORT_ERROR, service_option_at(service, option), "%s",
			   err.text);
	} else if (count == 0) {
		report_add(report, REPORT_ERROR, service_option_at(service, option),
			   "no hashed file is in %s '%s'; run: openssl rehash '%s'", option, path,
			   path);
	}
}

/* Adds what one entry of a store holds; returns whether it was a certificate or a list. */
static bool
add_store_entry(X509_STORE *store, const OSSL_STORE_INFO *entry)
{
	switch (OSSL_STORE_INFO_get_type(entry)) {
	case OSSL_STORE_INFO_CERT:
		return X509_STORE_add_cert(store, OSSL_STORE_INFO_get0_CERT(entry)) == 1;
	case OSSL_STORE_INFO_CRL:
		return X509_STORE_add_crl(store, OSSL_STORE_INFO_get0_CRL(entry)) == 1;
	default:
		return false;
	}
}

static int
add_uri(X509_STORE *store, const char *uri)
{
	OSSL_STORE_CTX *source = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
	int count = 0;

	while (source != NULL && !OSSL_STORE_eof(source)) {
		OSSL_STORE_INFO *entry = OSSL_STORE_load(source);
		if (entry == NULL)
			break;
		count += add_store_entry(store, entry);
		OSSL_STORE_INFO_free(entry);
	}
	(void)OSSL_STORE_close(source);
	return count;
}

/* CAstore: whatever URI OpenSSL's providers can open. */
static void
load_uri(X509_STORE *store, const struct service *service, struct report *report)
{
	const char *uri = service->options.ca_store;
	struct err err;

	if (uri == NULL)
		return;
	ERR_clear_error();
	if (add_uri(store, uri) > 0)
		return;
	(void)tls_error_set(&err, "cannot load a certificate from CAstore '%s'", uri);
	report_add(report, REPORT_ERROR, service_option_at(service, "CAstore"), "%s", err.text);
}

bool
tls_trust_is_own(const struct service *service)
{
	const struct service_options *options = &service->options;

	return options->ca_file != NULL || options->ca_path != NULL || options->ca_store != NULL;
}

X509_STORE *
tls_trust_load(const struct service *service, struct report *report)
{
	const struct service_options *options = &service->options;
	size_t errors_before = report_count(report, REPORT_ERROR);
	X509_STORE *store;

	if (tls_trust_is_own(service))
		store = X509_STORE_new();
	else
		store = tls_trust_load_system(report, service->at);
	if (store == NULL)
		return NULL;

	load_file(store, service, "CAfile", options->ca_file, report);
	load_directory(store, service, "CApath", options->ca_path, report);
	load_uri(store, service, report);
	load_file(store, service, "CRLfile", options->crl_file, report);
	load_directory(store, service, "CRLpath", options->crl_path, report);
	if (options->crl_file != NULL || options->crl_path != NULL)
		(void)X509_STORE_set_flags(store,
					   X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	/* A pinned certificate is an anchor of its own, whoever issued it. */
	if (options->verify_peer && !options->verify_chain)
		(void)X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);

	if (report_count(report, REPORT_ERROR) > errors_before) {
		X509_STORE_free(store);
		return NULL;
	}
	return store;
}
