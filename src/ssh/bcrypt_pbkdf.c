#include "ssh/bcrypt_pbkdf.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>

enum {
	SUBKEYS = 18,
	BOXES = 4,
	BOX_WORDS = 256,
	TABLE_WORDS = SUBKEYS + BOXES * BOX_WORDS,
	WORD_BITS = 32,
	PI_BITS = TABLE_WORDS * WORD_BITS,
	GUARD_BITS = 64, /* some 10,000 roundings, each off by less than one, end in these */

	HASH_SIZE = 64, /* SHA-512 */
	BLOCK_WORDS = 8,
	BLOCK_SIZE = BLOCK_WORDS * 4,
	EXPANSIONS = 64, /* bcrypt's cost of 6 */
	ENCRYPTIONS = 64,
};

/* Subkeys and S-boxes, in the order in which pi's digits and the key schedule fill them. */
struct blowfish {
	uint32_t words[TABLE_WORDS];
};

/* Key material is read as an endless loop of big-endian words. */
struct word_loop {
	const unsigned char *bytes; /* HASH_SIZE of them */
	size_t next;
};

/*
 * Blowfish begins with the binary digits of pi's fraction. 4 KiB of constants would have to be
 * believed; Machin's formula, pi = 16 arctan(1/5) - 4 arctan(1/239), can be read.
 */

/* ret_sum = multiple * arctan(1 / divisor), in units of 2^-(PI_BITS + GUARD_BITS). */
static bool
arctangent(BIGNUM *ret_sum, BN_ULONG multiple, BN_ULONG divisor)
{
	BIGNUM *power = BN_new();
	BIGNUM *term = BN_new();
	bool is_done = power != NULL && term != NULL && BN_set_word(power, multiple) == 1 &&
		       BN_lshift(power, power, PI_BITS + GUARD_BITS) == 1 &&
		       BN_div_word(power, divisor) != (BN_ULONG)-1 &&
		       BN_copy(ret_sum, power) != NULL;

	for (BN_ULONG i = 3; is_done && !BN_is_zero(power); i += 2) {
		is_done = BN_div_word(power, divisor * divisor) != (BN_ULONG)-1 &&
			  BN_copy(term, power) != NULL && BN_div_word(term, i) != (BN_ULONG)-1 &&
			  (i % 4 == 3 ? BN_sub(ret_sum, ret_sum, term)
				      : BN_add(ret_sum, ret_sum, term)) == 1;
	}
	BN_free(power);
	BN_free(term);
	return is_done;
}

static bool
blowfish_init(struct blowfish *state)
{
	unsigned char digits[TABLE_WORDS * 4];
	BIGNUM *pi = BN_new();
	BIGNUM *small = BN_new();
	bool is_done = pi != NULL && small != NULL && arctangent(pi, 16, 5) &&
		       arctangent(small, 4, 239) && BN_sub(pi, pi, small) == 1 &&
		       BN_mask_bits(pi, PI_BITS + GUARD_BITS) == 1 &&
		       BN_rshift(pi, pi, GUARD_BITS) == 1 &&
		       BN_bn2binpad(pi, digits, sizeof digits) == sizeof digits;

	for (size_t i = 0; is_done && i < TABLE_WORDS; i++)
		state->words[i] = (uint32_t)digits[4 * i] << 24 |
				  (uint32_t)digits[4 * i + 1] << 16 |
				  (uint32_t)digits[4 * i + 2] << 8 | digits[4 * i + 3];
	BN_free(pi);
	BN_free(small);
	return is_done;
}

static uint32_t
box(const struct blowfish *state, unsigned number, uint32_t index)
{
	return state->words[SUBKEYS + number * BOX_WORDS + (index & 0xff)];
}

static uint32_t
mix(const struct blowfish *state, uint32_t half)
{
	return ((box(state, 0, half >> 24) + box(state, 1, half >> 16)) ^
		box(state, 2, half >> 8)) +
	       box(state, 3, half);
}

static void
encrypt(const struct blowfish *state, uint32_t halves[2])
{
	uint32_t left = halves[0];
	uint32_t right = halves[1];

	for (unsigned i = 0; i < SUBKEYS - 2; i += 2) {
		left ^= state->words[i];
		right ^= mix(state, left) ^ state->words[i + 1];
		left ^= mix(state, right);
	}
	halves[0] = right ^ state->words[SUBKEYS - 1];
	halves[1] = left ^ state->words[SUBKEYS - 2];
}

static uint32_t
next_word(struct word_loop *loop)
{
	const unsigned char *bytes = loop->bytes + loop->next;

	loop->next = (loop->next + 4) % HASH_SIZE;
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

/* One run of the key schedule. `salt` may be NULL. */
static void
expand(struct blowfish *state, const unsigned char *key, const unsigned char *salt)
{
	struct word_loop key_words = {key, 0};
	struct word_loop salt_words = {salt, 0};
	uint32_t halves[2] = {0, 0};

	for (size_t i = 0; i < SUBKEYS; i++)
		state->words[i] ^= next_word(&key_words);
	for (size_t i = 0; i < TABLE_WORDS; i += 2) {
		if (salt != NULL) {
			halves[0] ^= next_word(&salt_words);
			halves[1] ^= next_word(&salt_words);
		}
		encrypt(state, halves);
		state->words[i] = halves[0];
		state->words[i + 1] = halves[1];
	}
}

/* bcrypt over two SHA-512 hashes: sets `out` to its 32 bytes. */
static void
hash_block(const struct blowfish *initial, const unsigned char *passphrase,
	   const unsigned char *salt, unsigned char out[BLOCK_SIZE])
{
	static const unsigned char plaintext[] = "OxychromaticBlowfishSwatDynamite";
	struct blowfish state = *initial;
	struct word_loop words = {plaintext, 0};
	uint32_t block[BLOCK_WORDS];

	expand(&state, passphrase, salt);
	for (unsigned i = 0; i < EXPANSIONS; i++) {
		expand(&state, salt, NULL);
		expand(&state, passphrase, NULL);
	}
	for (size_t i = 0; i < BLOCK_WORDS; i++)
		block[i] = next_word(&words);
	for (size_t i = 0; i < BLOCK_WORDS; i += 2) {
		for (unsigned j = 0; j < ENCRYPTIONS; j++)
			encrypt(&state, block + i);
	}
	/* Little-endian, unlike everything else: so it was first implemented. */
	for (size_t i = 0; i < BLOCK_SIZE; i++)
		out[i] = (unsigned char)(block[i / 4] >> (8 * (i % 4)));
	OPENSSL_cleanse(&state, sizeof state);
	OPENSSL_cleanse(block, sizeof block);
}

static bool
sha512(const void *left, size_t left_length, const void *right, size_t right_length,
       unsigned char out[HASH_SIZE])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool is_done = context != NULL && EVP_DigestInit_ex(context, EVP_sha512(), NULL) == 1 &&
		       EVP_DigestUpdate(context, left, left_length) == 1 &&
		       EVP_DigestUpdate(context, right, right_length) == 1 &&
		       EVP_DigestFinal_ex(context, out, NULL) == 1;

	EVP_MD_CTX_free(context);
	return is_done;
}

/* What PBKDF2 calls F: `rounds` hashes, each salted with the one before, added without carry.
 * `salt` is the first hash's and is overwritten. */
static bool
derive_block(const struct blowfish *initial, const unsigned char *passphrase,
	     unsigned char salt[HASH_SIZE], unsigned rounds, unsigned char out[BLOCK_SIZE])
{
	unsigned char hash[BLOCK_SIZE];
	bool is_done = true;

	hash_block(initial, passphrase, salt, hash);
	memcpy(out, hash, BLOCK_SIZE);
	for (unsigned round = 1; is_done && round < rounds; round++) {
		is_done = sha512(hash, sizeof hash, NULL, 0, salt);
		hash_block(initial, passphrase, salt, hash);
		for (size_t i = 0; i < BLOCK_SIZE; i++)
			out[i] ^= hash[i];
	}
	OPENSSL_cleanse(hash, sizeof hash);
	return is_done;
}

bool
bcrypt_pbkdf(const char *passphrase, const unsigned char *salt, size_t salt_length, unsigned rounds,
	     unsigned char *out, size_t out_length)
{
	struct blowfish initial;
	unsigned char hashed_passphrase[HASH_SIZE];
	unsigned char hashed_salt[HASH_SIZE];
	unsigned char block[BLOCK_SIZE];
	size_t blocks = (out_length + BLOCK_SIZE - 1) / BLOCK_SIZE;
	bool is_done = blowfish_init(&initial) &&
		       sha512(passphrase, strlen(passphrase), NULL, 0, hashed_passphrase);

	/* Block i makes the bytes i, i + blocks, i + 2 * blocks, …: each part of the key costs as
	 * much as the whole. */
	for (size_t i = 0; is_done && i < blocks; i++) {
		size_t number = i + 1;
		const unsigned char suffix[] = {
			(unsigned char)(number >> 24), (unsigned char)(number >> 16),
			(unsigned char)(number >> 8), (unsigned char)number};
		is_done = sha512(salt, salt_length, suffix, sizeof suffix, hashed_salt) &&
			  derive_block(&initial, hashed_passphrase, hashed_salt, rounds, block);
		for (size_t j = 0; is_done && j * blocks + i < out_length; j++)
			out[j * blocks + i] = block[j];
	}
	OPENSSL_cleanse(hashed_passphrase, sizeof hashed_passphrase);
	OPENSSL_cleanse(hashed_salt, sizeof hashed_salt);
	OPENSSL_cleanse(block, sizeof block);
	return is_done;
}
