#include "ssh/key_cipher.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

enum { TAG_SIZE = 16, CHACHA_KEY_SIZE = 32, CHACHA_IV_SIZE = 16 };

static const char chacha[] = "ChaCha20";

static const struct key_cipher ciphers[] = {
	{"aes256-ctr", "AES-256-CTR", 32, 16, 16, 0}, /* ssh-keygen's default */
	{"aes192-ctr", "AES-192-CTR", 24, 16, 16, 0},
	{"aes128-ctr", "AES-128-CTR", 16, 16, 16, 0},
	{"aes256-cbc", "AES-256-CBC", 32, 16, 16, 0},
	{"aes192-cbc", "AES-192-CBC", 24, 16, 16, 0},
	{"aes128-cbc", "AES-128-CBC", 16, 16, 16, 0},
	{"aes256-gcm@openssh.com", "AES-256-GCM", 32, 12, 16, TAG_SIZE},
	{"aes128-gcm@openssh.com", "AES-128-GCM", 16, 12, 16, TAG_SIZE},
	{"chacha20-poly1305@openssh.com", chacha, 2 * CHACHA_KEY_SIZE, 0, 8, TAG_SIZE},
};

const struct key_cipher *
key_cipher_find(const struct wire_span *name)
{
	for (size_t i = 0; i < ARRAY_LENGTH(ciphers); i++) {
		if (wire_span_is(name, ciphers[i].name))
			return &ciphers[i];
	}
	return NULL;
}

/* `tag` may be empty: then nothing is proven. */
static bool
decrypt(const char *name, const unsigned char *key, const unsigned char *iv,
	const struct wire_span *text, const struct wire_span *tag, unsigned char *out)
{
	unsigned char proof[TAG_SIZE] = {0};
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int length = 0;
	bool is_good = cipher != NULL && context != NULL && text->length <= INT_MAX &&
		       tag->length <= sizeof proof &&
		       EVP_DecryptInit_ex2(context, cipher, key, iv, NULL) == 1 &&
		       EVP_CIPHER_CTX_set_padding(context, 0) == 1;

	if (is_good && tag->length > 0) {
		memcpy(proof, tag->bytes, tag->length);
		is_good = EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, (int)tag->length,
					      proof) == 1;
	}
	is_good = is_good &&
		  EVP_DecryptUpdate(context, out, &length, text->bytes, (int)text->length) == 1 &&
		  EVP_DecryptFinal_ex(context, out + length, &length) == 1;
	EVP_CIPHER_CTX_free(context);
	EVP_CIPHER_free(cipher);
	return is_good;
}

static bool
poly1305(const unsigned char *key, const struct wire_span *text, unsigned char out[TAG_SIZE])
{
	size_t length = 0;
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "POLY1305", NULL);
	EVP_MAC_CTX *context = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
	bool is_done = context != NULL && EVP_MAC_init(context, key, CHACHA_KEY_SIZE, NULL) == 1 &&
		       EVP_MAC_update(context, text->bytes, text->length) == 1 &&
		       EVP_MAC_final(context, out, &length, TAG_SIZE) == 1 && length == TAG_SIZE;

	EVP_MAC_CTX_free(context);
	EVP_MAC_free(mac);
	return is_done;
}

/* OpenSSH's PROTOCOL.chacha20poly1305 for packet number 0 without a length in front: so the
 * second half of the key is not used. Block 0 is Poly1305's key, the text starts at block 1. */
static bool
decrypt_chacha(const unsigned char *key, const struct wire_span *text, const struct wire_span *tag,
	       unsigned char *out)
{
	static const unsigned char zeros[CHACHA_KEY_SIZE];
	static const unsigned char block_0[CHACHA_IV_SIZE];
	static const unsigned char block_1[CHACHA_IV_SIZE] = {1};
	const struct wire_span no_tag = {zeros, 0};
	const struct wire_span nothing = {zeros, sizeof zeros};
	unsigned char mac_key[CHACHA_KEY_SIZE];
	unsigned char expected[TAG_SIZE];
	bool is_good = decrypt(chacha, key, block_0, &nothing, &no_tag, mac_key) &&
		       poly1305(mac_key, text, expected) &&
		       CRYPTO_memcmp(expected, tag->bytes, sizeof expected) == 0 &&
		       decrypt(chacha, key, block_1, text, &no_tag, out);

	OPENSSL_cleanse(mac_key, sizeof mac_key);
	return is_good;
}

bool
key_cipher_decrypt(const struct key_cipher *cipher, const unsigned char *secrets,
		   const struct wire_span *text, const struct wire_span *tag, unsigned char *out)
{
	if (tag->length != cipher->tag_length)
		return false;
	if (cipher->evp == chacha)
		return decrypt_chacha(secrets, text, tag, out);
	return decrypt(cipher->evp, secrets, secrets + cipher->key_length, text, tag, out);
}
