#include "ssh/openssh_key.h"

#include "base/text.h"
#include "ssh/bcrypt_pbkdf.h"
#include "ssh/key_cipher.h"
#include "ssh/key_kind.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[] = "openssh-key-v1"; /* with its NUL */

enum { PLAIN_BLOCK_LENGTH = 8, SALT_LENGTH_MAX = 1024 };

struct container {
	struct wire_span cipher;
	struct wire_span kdf;
	struct wire_span kdf_options;
	struct wire_span public_key;
	struct wire_span text; /* check numbers, private key, comment, padding; perhaps encrypted */
	struct wire_span tag;  /* all that follows it */
};

static bool
read_container(struct wire_span file, struct container *ret, struct err *err)
{
	struct wire_span start;
	uint32_t count;

	if (!wire_read_bytes(&file, sizeof magic, &start) ||
	    memcmp(start.bytes, magic, sizeof magic) != 0)
		return err_set(err, "it is not in version 1 of OpenSSH's format");
	if (!wire_read_string(&file, &ret->cipher) || !wire_read_string(&file, &ret->kdf) ||
	    !wire_read_string(&file, &ret->kdf_options) || !wire_read_u32(&file, &count))
		return err_set(err, "it is damaged: its head is cut off");
	if (count != 1)
		return err_set(err, "it holds %u keys, but must hold one", (unsigned)count);
	if (!wire_read_string(&file, &ret->public_key) || !wire_read_string(&file, &ret->text))
		return err_set(err, "it is damaged: its end is missing");
	ret->tag = file;
	return true;
}

static bool
derive_secrets(const struct container *container, const struct key_cipher *cipher,
	       const char *passphrase, unsigned char *out, struct err *err)
{
	struct wire_span options = container->kdf_options;
	struct wire_span salt;
	uint32_t rounds;

	if (!wire_span_is(&container->kdf, "bcrypt"))
		return err_set(err, "its passphrase is protected by an unknown method, not bcrypt");
	if (!wire_read_string(&options, &salt) || !wire_read_u32(&options, &rounds) ||
	    options.length > 0 || salt.length == 0 || salt.length > SALT_LENGTH_MAX || rounds == 0)
		return err_set(err, "it is damaged: bcrypt's settings make no sense");
	if (rounds > OPENSSH_KEY_ROUNDS_MAX)
		return err_set(err,
			       "unlocking it takes %u rounds of bcrypt, more than the %d that are "
			       "accepted; change it with: ssh-keygen -p -a 100 -f FILE",
			       (unsigned)rounds, (int)OPENSSH_KEY_ROUNDS_MAX);
	if (!bcrypt_pbkdf(passphrase, salt.bytes, salt.length, rounds, out,
			  cipher->key_length + cipher->iv_length))
		return err_set(err, "out of memory");
	return true;
}

/* The text is as long as `container->text`, and begins with the same number twice, put there
 * for telling a wrong passphrase. */
static bool
has_check_numbers(const unsigned char *text)
{
	return memcmp(text, text + 4, 4) == 0;
}

static bool
decrypt_text(const struct container *container, const char *passphrase, unsigned char *out,
	     enum private_key_failure *ret_failure, struct err *err)
{
	unsigned char secrets[KEY_CIPHER_SECRETS_MAX];
	char shown[64];
	char name[64];
	const struct key_cipher *cipher = key_cipher_find(&container->cipher);

	if (cipher == NULL) {
		(void)snprintf(name, sizeof name, "%.*s",
			       (int)(container->cipher.length < sizeof name
					     ? container->cipher.length
					     : sizeof name - 1),
			       (const char *)container->cipher.bytes);
		return err_set(err,
			       "it is encrypted with '%s', which is not supported; change it with: "
			       "ssh-keygen -p -Z aes256-ctr -f FILE",
			       text_escape(shown, sizeof shown, name));
	}
	if (container->text.length % cipher->block_length != 0 ||
	    container->tag.length != cipher->tag_length)
		return err_set(err, "it is damaged: its end is missing or too long");
	if (passphrase == NULL) {
		*ret_failure = PRIVATE_KEY_NEEDS_PASSPHRASE;
		return err_set(err, "it is encrypted, and no passphrase was given");
	}
	bool is_derived = derive_secrets(container, cipher, passphrase, secrets, err);
	bool is_right = is_derived &&
			key_cipher_decrypt(cipher, secrets, &container->text, &container->tag,
					   out) &&
			has_check_numbers(out);
	OPENSSL_cleanse(secrets, sizeof secrets);
	if (is_derived && !is_right) {
		*ret_failure = PRIVATE_KEY_WRONG_PASSPHRASE;
		(void)err_set(err, "the passphrase is wrong");
	}
	return is_right;
}

/* Sets `out`, as long as the container's text, to the text as it is without encryption. */
static bool
open_text(const struct container *container, const char *passphrase, unsigned char *out,
	  enum private_key_failure *ret_failure, struct err *err)
{
	if (!wire_span_is(&container->cipher, "none"))
		return decrypt_text(container, passphrase, out, ret_failure, err);

	memcpy(out, container->text.bytes, container->text.length);
	if (!wire_span_is(&container->kdf, "none") || container->kdf_options.length > 0 ||
	    container->tag.length > 0 || container->text.length % PLAIN_BLOCK_LENGTH != 0 ||
	    !has_check_numbers(out))
		return err_set(err, "it is damaged");
	return true;
}

static bool
is_padding(const struct wire_span *rest)
{
	for (size_t i = 0; i < rest->length; i++) {
		if (rest->bytes[i] != (unsigned char)(i + 1))
			return false;
	}
	return true;
}

static bool
has_public_key(const struct key_kind *kind, const EVP_PKEY *pkey, const struct wire_span *shown)
{
	struct buffer blob;

	buffer_init(&blob);
	bool has = wire_append_text(&blob, kind->algorithm) &&
		   key_kind_append_public(kind, pkey, &blob) &&
		   buffer_length(&blob) == shown->length &&
		   memcmp(buffer_head(&blob), shown->bytes, shown->length) == 0;
	buffer_done(&blob);
	return has;
}

static EVP_PKEY *
read_text(struct wire_span text, const struct wire_span *public_key, struct err *err)
{
	struct wire_span check_numbers;
	struct wire_span name;
	struct wire_span comment;

	if (!wire_read_bytes(&text, 8, &check_numbers) || !wire_read_string(&text, &name)) {
		(void)err_set(err, "it is damaged: the key is missing");
		return NULL;
	}
	const struct key_kind *kind = key_kind_of_name(&name, err);
	if (kind == NULL)
		return NULL;
	EVP_PKEY *pkey = key_kind_read_private(kind, &text);
	if (pkey == NULL || !wire_read_string(&text, &comment) || !is_padding(&text) ||
	    !has_public_key(kind, pkey, public_key)) {
		(void)err_set(err, "it is damaged: the key in it makes no sense");
		EVP_PKEY_free(pkey);
		return NULL;
	}
	return pkey;
}

/* The kind is readable without a passphrase; nobody shall be asked for one in vain. */
static bool
is_supported(const struct container *container, struct err *err)
{
	struct wire_span public_key = container->public_key;
	struct wire_span name;

	if (!wire_read_string(&public_key, &name))
		return err_set(err, "it is damaged: the public key in it makes no sense");
	return key_kind_of_name(&name, err) != NULL;
}

EVP_PKEY *
openssh_key_read(struct wire_span file, const char *passphrase,
		 enum private_key_failure *ret_failure, struct err *err)
{
	struct container container = {0};
	EVP_PKEY *pkey = NULL;

	*ret_failure = PRIVATE_KEY_FAILED;
	if (!read_container(file, &container, err) || !is_supported(&container, err))
		return NULL;
	size_t length = container.text.length;
	if (length < 8) {
		(void)err_set(err, "it is damaged: the key is missing");
		return NULL;
	}
	unsigned char *text = malloc(length);
	if (text == NULL)
		(void)err_set(err, "out of memory");
	else if (open_text(&container, passphrase, text, ret_failure, err))
		pkey = read_text((struct wire_span){text, length}, &container.public_key, err);
	if (text != NULL)
		OPENSSL_cleanse(text, length);
	free(text);
	return pkey;
}
