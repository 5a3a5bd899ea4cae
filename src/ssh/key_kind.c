#include "ssh/key_kind.h"

#include "base/text.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <string.h>

enum {
	RSA_BITS_MIN = 1024, /* as OpenSSH's bounds */
	RSA_BITS_MAX = 16384,
	ED25519_SIZE = 32,
	POINT_SIZE_MAX = 1 + 2 * 66,
	NAME_SIZE = 64,
};

static const struct key_kind kinds[] = {
	{"ssh-rsa", NULL, NULL, NULL, KEY_TYPE_RSA, 0},
	{"ssh-ed25519", NULL, NULL, NULL, KEY_TYPE_ED25519, 0},
	{"ecdsa-sha2-nistp256", "nistp256", "prime256v1", "SHA256", KEY_TYPE_ECDSA, 32},
	{"ecdsa-sha2-nistp384", "nistp384", "secp384r1", "SHA384", KEY_TYPE_ECDSA, 48},
	{"ecdsa-sha2-nistp521", "nistp521", "secp521r1", "SHA512", KEY_TYPE_ECDSA, 66},
};

static const struct {
	const char *prefix;
	const char *advice;
} known_unsupported[] = {
	{"sk-", "its other half is in a security key; use the agent for it: ssh-add FILE"},
	{"ssh-dss", "DSA keys are no longer safe, and servers refuse them; make another with "
		    "ssh-keygen -t ed25519"},
	{"", "supported are RSA, ECDSA on nistp256, nistp384 and nistp521, and Ed25519"},
};

const struct key_kind *
key_kind_of_name(const struct wire_span *name, struct err *err)
{
	char text[NAME_SIZE];
	char shown[NAME_SIZE];
	size_t i;

	for (i = 0; i < ARRAY_LENGTH(kinds); i++) {
		if (wire_span_is(name, kinds[i].algorithm))
			return &kinds[i];
	}
	(void)snprintf(text, sizeof text, "%.*s",
		       (int)(name->length < sizeof text ? name->length : sizeof text - 1),
		       (const char *)name->bytes);
	for (i = 0; i < ARRAY_LENGTH(known_unsupported) - 1; i++) {
		if (strncmp(text, known_unsupported[i].prefix,
			    strlen(known_unsupported[i].prefix)) == 0)
			break;
	}
	(void)err_set(err, "keys of type '%s' are not supported: %s",
		      text_escape(shown, sizeof shown, text), known_unsupported[i].advice);
	return NULL;
}

const struct key_kind *
key_kind_of_pkey(const EVP_PKEY *pkey, struct err *err)
{
	char group[NAME_SIZE] = "";
	const char *name = EVP_PKEY_get0_type_name(pkey);
	bool is_ec = EVP_PKEY_is_a(pkey, "EC") == 1 &&
		     EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) == 1;

	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
		switch (kinds[i].type) {
		case KEY_TYPE_RSA:
			if (EVP_PKEY_is_a(pkey, "RSA") == 1)
				return &kinds[i];
			break;
		case KEY_TYPE_ED25519:
			if (EVP_PKEY_is_a(pkey, "ED25519") == 1)
				return &kinds[i];
			break;
		case KEY_TYPE_ECDSA:
			if (is_ec && strcmp(group, kinds[i].group) == 0)
				return &kinds[i];
			break;
		}
	}
	(void)err_set(err, "keys of type '%s%s%s' are not supported: %s",
		      name != NULL ? name : "unknown", is_ec ? " on " : "", group,
		      known_unsupported[ARRAY_LENGTH(known_unsupported) - 1].advice);
	return NULL;
}

/* Returns owned; NULL if the key has no such part. */
static BIGNUM *
part(const EVP_PKEY *pkey, const char *name)
{
	BIGNUM *number = NULL;

	return EVP_PKEY_get_bn_param(pkey, name, &number) == 1 ? number : NULL;
}

static bool
append_rsa(const EVP_PKEY *pkey, struct buffer *out)
{
	BIGNUM *e = part(pkey, OSSL_PKEY_PARAM_RSA_E);
	BIGNUM *n = part(pkey, OSSL_PKEY_PARAM_RSA_N);
	bool is_done = e != NULL && n != NULL && wire_append_mpint(out, e) &&
		       wire_append_mpint(out, n);

	BN_free(e);
	BN_free(n);
	return is_done;
}

/* The point uncompressed, whatever form the file had it in. */
static bool
append_ecdsa(const struct key_kind *kind, const EVP_PKEY *pkey, struct buffer *out)
{
	unsigned char point[POINT_SIZE_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
	int size = kind->field_bytes;
	BIGNUM *x = part(pkey, OSSL_PKEY_PARAM_EC_PUB_X);
	BIGNUM *y = part(pkey, OSSL_PKEY_PARAM_EC_PUB_Y);
	bool is_done = x != NULL && y != NULL && BN_bn2binpad(x, point + 1, size) == size &&
		       BN_bn2binpad(y, point + 1 + size, size) == size &&
		       wire_append_text(out, kind->curve) &&
		       wire_append_string(out, point, 1 + 2 * (size_t)size);

	BN_free(x);
	BN_free(y);
	return is_done;
}

bool
key_kind_append_public(const struct key_kind *kind, const EVP_PKEY *pkey, struct buffer *out)
{
	unsigned char raw[ED25519_SIZE];
	size_t length = sizeof raw;

	switch (kind->type) {
	case KEY_TYPE_RSA:
		return append_rsa(pkey, out);
	case KEY_TYPE_ECDSA:
		return append_ecdsa(kind, pkey, out);
	case KEY_TYPE_ED25519:
		return EVP_PKEY_get_raw_public_key(pkey, raw, &length) == 1 &&
		       wire_append_string(out, raw, length);
	}
	return false;
}

static EVP_PKEY *
make_pkey(const char *type, OSSL_PARAM_BLD *builder)
{
	EVP_PKEY *pkey = NULL;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);

	if (context == NULL || params == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_KEYPAIR, params) != 1)
		pkey = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(context);
	return pkey;
}

/* ret = d mod (prime - 1): what OpenSSH leaves out and OpenSSL wants. */
static bool
reduce(BIGNUM *ret, const BIGNUM *d, const BIGNUM *prime, BN_CTX *context)
{
	BIGNUM *order = BN_secure_new();
	bool is_done = order != NULL && BN_sub(order, prime, BN_value_one()) == 1 &&
		       !BN_is_zero(order) && BN_mod(ret, d, order, context) == 1;

	BN_clear_free(order);
	return is_done;
}

static EVP_PKEY *
read_rsa(struct wire_span *fields)
{
	static const char *const names[] = {
		OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
		OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
		OSSL_PKEY_PARAM_RSA_FACTOR1,   OSSL_PKEY_PARAM_RSA_FACTOR2,
		OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2,
	};
	enum { D = 2, P = 4, Q = 5, D_P = 6, D_Q = 7, PARTS = 8 };
	BIGNUM *parts[PARTS] = {0};
	BN_CTX *context = BN_CTX_secure_new();
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	bool is_good = context != NULL && builder != NULL;
	EVP_PKEY *pkey = NULL;

	for (size_t i = 0; is_good && i < D_P; i++)
		is_good = wire_read_mpint(fields, &parts[i]);
	is_good = is_good && (parts[D_P] = BN_secure_new()) != NULL &&
		  (parts[D_Q] = BN_secure_new()) != NULL &&
		  reduce(parts[D_P], parts[D], parts[P], context) &&
		  reduce(parts[D_Q], parts[D], parts[Q], context);
	for (size_t i = 0; is_good && i < PARTS; i++)
		is_good = OSSL_PARAM_BLD_push_BN(builder, names[i], parts[i]) == 1;
	if (is_good)
		pkey = make_pkey("RSA", builder);
	OSSL_PARAM_BLD_free(builder);
	BN_CTX_free(context);
	for (size_t i = 0; i < PARTS; i++)
		BN_clear_free(parts[i]);
	return pkey;
}

static EVP_PKEY *
read_ecdsa(const struct key_kind *kind, struct wire_span *fields)
{
	struct wire_span curve;
	struct wire_span point;
	BIGNUM *scalar = NULL;
	EVP_PKEY *pkey = NULL;
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();

	if (builder != NULL && wire_read_string(fields, &curve) &&
	    wire_span_is(&curve, kind->curve) && wire_read_string(fields, &point) &&
	    wire_read_mpint(fields, &scalar) &&
	    OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, kind->group, 0) ==
		    1 &&
	    OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point.bytes,
					     point.length) == 1 &&
	    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, scalar) == 1)
		pkey = make_pkey("EC", builder);
	OSSL_PARAM_BLD_free(builder);
	BN_clear_free(scalar);
	return pkey;
}

/* The file has the public key twice: by itself, and behind the seed. */
static EVP_PKEY *
read_ed25519(struct wire_span *fields)
{
	struct wire_span public_key;
	struct wire_span both;

	if (!wire_read_string(fields, &public_key) || !wire_read_string(fields, &both) ||
	    public_key.length != ED25519_SIZE || both.length != 2 * ED25519_SIZE ||
	    memcmp(public_key.bytes, both.bytes + ED25519_SIZE, ED25519_SIZE) != 0)
		return NULL;
	return EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, both.bytes, ED25519_SIZE);
}

EVP_PKEY *
key_kind_read_private(const struct key_kind *kind, struct wire_span *fields)
{
	switch (kind->type) {
	case KEY_TYPE_RSA:
		return read_rsa(fields);
	case KEY_TYPE_ECDSA:
		return read_ecdsa(kind, fields);
	case KEY_TYPE_ED25519:
		return read_ed25519(fields);
	}
	return NULL;
}

/* Whether left * right = 1 modulo `modulus` - `minus`. */
static bool
are_inverse(const BIGNUM *left, const BIGNUM *right, const BIGNUM *modulus, BN_ULONG minus,
	    BN_CTX *context)
{
	BIGNUM *reduced = BN_dup(modulus);
	BIGNUM *product = BN_secure_new();
	bool are = reduced != NULL && product != NULL && BN_sub_word(reduced, minus) == 1 &&
		   !BN_is_zero(reduced) && !BN_is_negative(reduced) &&
		   BN_mod_mul(product, left, right, reduced, context) == 1 && BN_is_one(product);

	BN_clear_free(reduced);
	BN_clear_free(product);
	return are;
}

/* OpenSSL's own check would also prove p and q prime, which takes seconds. That the product is
 * the public modulus says as much: damage finds no other factors of it. */
static bool
check_rsa(const EVP_PKEY *pkey)
{
	BN_CTX *context = BN_CTX_secure_new();
	BIGNUM *product = BN_secure_new();
	BIGNUM *n = part(pkey, OSSL_PKEY_PARAM_RSA_N);
	BIGNUM *e = part(pkey, OSSL_PKEY_PARAM_RSA_E);
	BIGNUM *d = part(pkey, OSSL_PKEY_PARAM_RSA_D);
	BIGNUM *p = part(pkey, OSSL_PKEY_PARAM_RSA_FACTOR1);
	BIGNUM *q = part(pkey, OSSL_PKEY_PARAM_RSA_FACTOR2);
	BIGNUM *d_p = part(pkey, OSSL_PKEY_PARAM_RSA_EXPONENT1);
	BIGNUM *d_q = part(pkey, OSSL_PKEY_PARAM_RSA_EXPONENT2);
	BIGNUM *q_inverse = part(pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1);
	bool is_good = context != NULL && product != NULL && n != NULL && e != NULL && d != NULL &&
		       p != NULL && q != NULL && d_p != NULL && d_q != NULL && q_inverse != NULL &&
		       BN_mul(product, p, q, context) == 1 && BN_cmp(product, n) == 0 &&
		       are_inverse(e, d, p, 1, context) && are_inverse(e, d, q, 1, context) &&
		       are_inverse(e, d_p, p, 1, context) && are_inverse(e, d_q, q, 1, context) &&
		       are_inverse(q, q_inverse, p, 0, context);

	BN_clear_free(q_inverse);
	BN_clear_free(d_q);
	BN_clear_free(d_p);
	BN_clear_free(q);
	BN_clear_free(p);
	BN_clear_free(d);
	BN_free(e);
	BN_free(n);
	BN_clear_free(product);
	BN_CTX_free(context);
	return is_good;
}

bool
key_kind_check(const struct key_kind *kind, EVP_PKEY *pkey, struct err *err)
{
	bool is_rsa = kind->type == KEY_TYPE_RSA;
	int bits = EVP_PKEY_get_bits(pkey);

	if (is_rsa && (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX))
		return err_set(err, "an RSA key of %d bits is not accepted: between %d and %d",
			       bits, (int)RSA_BITS_MIN, (int)RSA_BITS_MAX);

	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	bool is_good = is_rsa ? check_rsa(pkey) : context != NULL && EVP_PKEY_check(context) == 1;
	EVP_PKEY_CTX_free(context);
	return is_good ||
	       err_set(err, "it is damaged: the parts of the key do not belong together");
}
