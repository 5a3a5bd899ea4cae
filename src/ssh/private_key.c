#include "ssh/private_key.h"

#include "ssh/certificate.h"
#include "ssh/key_kind.h"
#include "ssh/openssh_key.h"
#include "stream/tls_error.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_SIZE_MAX = 64 * 1024, HASH_SIZE = 32, FINGERPRINT_SIZE = 64 };

static const char openssh_label[] = "OPENSSH PRIVATE KEY";

struct private_key {
	atomic_int references;
	EVP_PKEY *pkey;
	const struct key_kind *kind;
	struct buffer public_fields; /* the public key without the algorithm's name */
	struct buffer certificate;   /* empty: none */
	char fingerprint[FINGERPRINT_SIZE];
};

static const struct {
	const char *name;
	const char *digest;
} rsa_signatures[] = {
	[RSA_SIGNATURE_SHA2_512] = {"rsa-sha2-512", "SHA512"},
	[RSA_SIGNATURE_SHA2_256] = {"rsa-sha2-256", "SHA256"},
	[RSA_SIGNATURE_SHA1] = {"ssh-rsa", "SHA1"},
};

/* What people give for a private key that is none. */
static const struct {
	const char *begin;
	const char *error;
} mistakes[] = {
	{"PuTTY-User-Key-File", "it is in PuTTY's format; convert it with: puttygen FILE -O "
				"private-openssh -o NEW"},
	{"-----BEGIN CERTIFICATE", "it is a certificate for TLS, not a private key"},
	{"-----BEGIN PUBLIC KEY", "it is a public key; the private one is needed"},
	{"-----BEGIN SSH2 PUBLIC KEY", "it is a public key; the private one is needed"},
	{"---- BEGIN SSH2 PUBLIC KEY", "it is a public key; the private one is needed"},
	{"ssh-", "it is a public key; the private one is usually beside it, without '.pub'"},
	{"ecdsa-", "it is a public key; the private one is usually beside it, without '.pub'"},
	{"", "it is no private key: it should have a line '-----BEGIN … PRIVATE KEY-----'"},
};

static bool
contains(const char *text, size_t length, const char *word)
{
	size_t word_length = strlen(word);

	for (size_t i = 0; i + word_length <= length; i++) {
		if (memcmp(text + i, word, word_length) == 0)
			return true;
	}
	return false;
}

static bool
explain_mistake(const char *text, size_t length, struct err *err)
{
	size_t i = 0;

	while (length < strlen(mistakes[i].begin) ||
	       memcmp(text, mistakes[i].begin, strlen(mistakes[i].begin)) != 0)
		i++;
	return err_set(err, "%s", mistakes[i].error);
}

struct question {
	const char *passphrase; /* NULL: none */
	bool was_asked;
};

static int
answer_passphrase(char *buffer, int size, int is_writing ATTR_UNUSED, void *arg)
{
	struct question *question = arg;

	question->was_asked = true;
	if (question->passphrase == NULL || strlen(question->passphrase) > (size_t)size)
		return -1;
	memcpy(buffer, question->passphrase, strlen(question->passphrase));
	return (int)strlen(question->passphrase);
}

static EVP_PKEY *
read_pem(BIO *bio, const char *passphrase, enum private_key_failure *ret_failure, struct err *err)
{
	struct question question = {passphrase, false};
	EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, answer_passphrase, &question);

	if (pkey != NULL)
		return pkey;
	if (!question.was_asked) {
		(void)tls_error_set(err,
				    "it is damaged, or in a format that OpenSSL does not read");
	} else if (passphrase == NULL) {
		*ret_failure = PRIVATE_KEY_NEEDS_PASSPHRASE;
		(void)err_set(err, "it is encrypted, and no passphrase was given");
	} else {
		/* Damage looks the same: what proves the passphrase is that the text makes sense. */
		*ret_failure = PRIVATE_KEY_WRONG_PASSPHRASE;
		(void)err_set(err, "the passphrase is wrong");
	}
	return NULL;
}

static EVP_PKEY *
read_openssh(BIO *bio, const char *passphrase, enum private_key_failure *ret_failure,
	     struct err *err)
{
	char *label = NULL;
	char *header = NULL;
	unsigned char *file = NULL;
	long length = 0;
	EVP_PKEY *pkey = NULL;

	/* "Secure" makes OpenSSL wipe its copies. */
	if (PEM_read_bio_ex(bio, &label, &header, &file, &length, PEM_FLAG_SECURE) != 1)
		(void)tls_error_set(err, "it is damaged");
	else if (strcmp(label, openssh_label) != 0)
		(void)err_set(err, "it holds something else in front of the private key");
	else
		pkey = openssh_key_read((struct wire_span){file, (size_t)length}, passphrase,
					ret_failure, err);
	OPENSSL_secure_free(label);
	OPENSSL_secure_free(header);
	OPENSSL_secure_clear_free(file, (size_t)length);
	return pkey;
}

static EVP_PKEY *
read_text(const char *text, size_t length, const char *passphrase,
	  enum private_key_failure *ret_failure, struct err *err)
{
	if (length > FILE_SIZE_MAX) {
		(void)err_set(err, "it is too long for a private key");
		return NULL;
	}
	if (!contains(text, length, "PRIVATE KEY-----")) {
		(void)explain_mistake(text, length, err);
		return NULL;
	}
	BIO *bio = BIO_new_mem_buf(text, (int)length);
	if (bio == NULL) {
		(void)err_set(err, "out of memory");
		return NULL;
	}
	EVP_PKEY *pkey = contains(text, length, openssh_label)
				 ? read_openssh(bio, passphrase, ret_failure, err)
				 : read_pem(bio, passphrase, ret_failure, err);
	BIO_free(bio);
	return pkey;
}

/* Appends the public key, with `name` for the algorithm's. */
static bool
append_public(const struct private_key *key, const char *name, struct buffer *out)
{
	return wire_append_text(out, name) && buffer_append(out, buffer_head(&key->public_fields),
							    buffer_length(&key->public_fields));
}

static bool
set_fingerprint(struct private_key *key)
{
	static const char prefix[] = "SHA256:";
	unsigned char hash[HASH_SIZE];
	struct buffer blob;

	buffer_init(&blob);
	bool is_done = append_public(key, key->kind->algorithm, &blob) &&
		       EVP_Digest(buffer_head(&blob), buffer_length(&blob), hash, NULL,
				  EVP_sha256(), NULL) == 1;
	buffer_done(&blob);
	if (!is_done)
		return false;
	memcpy(key->fingerprint, prefix, sizeof prefix);
	(void)EVP_EncodeBlock((unsigned char *)key->fingerprint + sizeof prefix - 1, hash,
			      sizeof hash);
	key->fingerprint[strcspn(key->fingerprint, "=")] = '\0';
	return true;
}

/* Takes `pkey`, also on failure. */
static struct private_key *
adopt(EVP_PKEY *pkey, struct err *err)
{
	struct private_key *key = calloc(1, sizeof *key);

	if (key == NULL) {
		EVP_PKEY_free(pkey);
		(void)err_set(err, "out of memory");
		return NULL;
	}
	atomic_init(&key->references, 1);
	key->pkey = pkey;
	key->kind = key_kind_of_pkey(pkey, err);
	bool is_usable = key->kind != NULL && key_kind_check(key->kind, pkey, err);
	if (is_usable && key_kind_append_public(key->kind, pkey, &key->public_fields) &&
	    set_fingerprint(key))
		return key;
	if (is_usable)
		(void)err_set(err, "out of memory");
	private_key_free(key);
	return NULL;
}

struct private_key *
private_key_parse(const char *text, size_t length, const char *passphrase,
		  enum private_key_failure *ret_failure, struct err *err)
{
	*ret_failure = PRIVATE_KEY_FAILED;
	ERR_clear_error();
	EVP_PKEY *pkey = read_text(text, length, passphrase, ret_failure, err);
	struct private_key *key = pkey != NULL ? adopt(pkey, err) : NULL;
	ERR_clear_error();
	return key;
}

/* As ssh: what others own is theirs to protect. A pipe's mode says nothing. */
static bool
is_private(int descriptor, const char *path, struct err *err)
{
	struct stat status;

	if (fstat(descriptor, &status) != 0)
		return err_set_errno(err, errno, "cannot examine private key '%s'", path);
	if (S_ISREG(status.st_mode) && status.st_uid == geteuid() && (status.st_mode & 077) != 0)
		return err_set(err,
			       "private key '%s' is not used, because others may read or change it "
			       "(mode %04o); run: chmod 600 %s",
			       path, (unsigned)(status.st_mode & 07777), path);
	return true;
}

/* Fills `out`; -1: cannot be read, or longer than `size`. */
static ssize_t
read_all(int descriptor, char *out, size_t size, struct err *err)
{
	size_t length = 0;

	for (;;) {
		ssize_t got = read(descriptor, out + length, size - length);
		if (got == 0)
			return (ssize_t)length;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			(void)err_set_errno(err, errno, "it cannot be read");
			return -1;
		}
		length += (size_t)got;
		if (length == size) {
			(void)err_set(err, "it is too long for a private key");
			return -1;
		}
	}
}

static struct private_key *
read_key(int descriptor, const char *path, const char *passphrase,
	 enum private_key_failure *ret_failure, struct err *err)
{
	char text[FILE_SIZE_MAX + 1];
	struct private_key *key = NULL;
	ssize_t length = read_all(descriptor, text, sizeof text, err);

	if (length >= 0)
		key = private_key_parse(text, (size_t)length, passphrase, ret_failure, err);
	OPENSSL_cleanse(text, sizeof text);
	if (key == NULL)
		(void)err_wrap(err, "cannot use private key '%s'", path);
	return key;
}

struct private_key *
private_key_load(const char *path, const char *passphrase, enum private_key_failure *ret_failure,
		 struct err *err)
{
	struct private_key *key = NULL;
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	*ret_failure = PRIVATE_KEY_FAILED;
	if (descriptor < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			*ret_failure = PRIVATE_KEY_MISSING;
		(void)err_set_errno(err, errno, "cannot open private key '%s'", path);
		return NULL;
	}
	if (is_private(descriptor, path, err))
		key = read_key(descriptor, path, passphrase, ret_failure, err);
	(void)close(descriptor);
	return key;
}

bool
private_key_load_certificate(struct private_key *key, const char *path, struct err *err)
{
	struct wire_span fields = {buffer_head(&key->public_fields),
				   buffer_length(&key->public_fields)};
	struct buffer certificate;

	buffer_init(&certificate);
	if (!certificate_load(path, key->kind, &fields, &certificate, err)) {
		buffer_done(&certificate);
		return false;
	}
	buffer_done(&key->certificate);
	key->certificate = certificate;
	return true;
}

struct private_key *
private_key_ref(struct private_key *key)
{
	(void)atomic_fetch_add_explicit(&key->references, 1, memory_order_relaxed);
	return key;
}

static bool
is_same_content(const struct buffer *buffer, const struct buffer *other)
{
	size_t length = buffer_length(buffer);

	return buffer_length(other) == length &&
	       (length == 0 || memcmp(buffer_head(buffer), buffer_head(other), length) == 0);
}

bool
private_key_is_equal(const struct private_key *key, const struct private_key *other)
{
	return key->kind == other->kind &&
	       is_same_content(&key->public_fields, &other->public_fields) &&
	       is_same_content(&key->certificate, &other->certificate);
}

void
private_key_free(struct private_key *key)
{
	if (key == NULL || atomic_fetch_sub_explicit(&key->references, 1, memory_order_acq_rel) > 1)
		return;
	EVP_PKEY_free(key->pkey); /* wipes it */
	buffer_done(&key->public_fields);
	buffer_done(&key->certificate);
	free(key);
}

const char *
private_key_algorithm(const struct private_key *key)
{
	return key->kind->algorithm;
}

bool
private_key_is_rsa(const struct private_key *key)
{
	return key->kind->type == KEY_TYPE_RSA;
}

const char *
private_key_fingerprint(const struct private_key *key)
{
	return key->fingerprint;
}

/* Hands the bytes over to who calls; NULL and nothing left if it did not work. */
static unsigned char *
give_away(struct buffer *buffer, bool is_complete, size_t *ret_length)
{
	if (!is_complete)
		buffer_done(buffer);
	*ret_length = buffer_length(buffer);
	return buffer->data;
}

unsigned char *
private_key_public_blob(const struct private_key *key, enum rsa_signature rsa, size_t *ret_length)
{
	const char *name = private_key_is_rsa(key) ? rsa_signatures[rsa].name
						   : key->kind->algorithm;
	struct buffer blob;

	buffer_init(&blob);
	bool is_complete = append_public(key, name, &blob);
	return give_away(&blob, is_complete, ret_length);
}

bool
private_key_has_certificate(const struct private_key *key)
{
	return buffer_length(&key->certificate) > 0;
}

unsigned char *
private_key_certificate_blob(const struct private_key *key, size_t *ret_length)
{
	struct buffer blob;

	if (!private_key_has_certificate(key))
		return NULL;
	buffer_init(&blob);
	bool is_complete = buffer_append(&blob, buffer_head(&key->certificate),
					 buffer_length(&key->certificate));
	return give_away(&blob, is_complete, ret_length);
}

/* Signs as OpenSSL writes it. */
static bool
sign(const struct private_key *key, const char *digest, const unsigned char *data, size_t length,
     struct buffer *out)
{
	size_t size = 0;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool is_done = context != NULL &&
		       EVP_DigestSignInit_ex(context, NULL, digest, NULL, NULL, key->pkey, NULL) ==
			       1 &&
		       EVP_DigestSign(context, NULL, &size, data, length) == 1;
	unsigned char *signature = is_done ? malloc(size) : NULL;

	is_done = signature != NULL &&
		  EVP_DigestSign(context, signature, &size, data, length) == 1 &&
		  buffer_append(out, signature, size);
	free(signature);
	EVP_MD_CTX_free(context);
	return is_done;
}

/* RFC 5656, 3.1.2: the two numbers, where OpenSSL has DER. */
static bool
append_ecdsa(const struct buffer *der, struct buffer *out)
{
	const unsigned char *next = buffer_head(der);
	ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &next, (long)buffer_length(der));
	bool is_done = pair != NULL && wire_append_mpint(out, ECDSA_SIG_get0_r(pair)) &&
		       wire_append_mpint(out, ECDSA_SIG_get0_s(pair));

	ECDSA_SIG_free(pair);
	return is_done;
}

unsigned char *
private_key_sign(const struct private_key *key, enum rsa_signature rsa, const unsigned char *data,
		 size_t length, size_t *ret_length, struct err *err)
{
	bool is_ecdsa = key->kind->type == KEY_TYPE_ECDSA;
	const char *digest = private_key_is_rsa(key) ? rsa_signatures[rsa].digest
						     : key->kind->digest;
	struct buffer raw;
	struct buffer numbers;

	buffer_init(&raw);
	buffer_init(&numbers);
	ERR_clear_error();
	bool is_complete = sign(key, digest, data, length, &raw) &&
			   (!is_ecdsa || append_ecdsa(&raw, &numbers));
	if (!is_complete)
		(void)tls_error_set(err, "cannot sign with the %s key %s", key->kind->algorithm,
				    key->fingerprint);
	if (!is_ecdsa)
		return give_away(&raw, is_complete, ret_length);
	buffer_done(&raw);
	return give_away(&numbers, is_complete, ret_length);
}
