#include "ssh/wire.h"

#include <stdlib.h>
#include <string.h>

enum { MPINT_SIZE_MAX = 16384 / 8 + 1 }; /* the longest RSA modulus there is use for */

bool
wire_read_bytes(struct wire_span *span, size_t length, struct wire_span *ret)
{
	if (span->length < length)
		return false;
	*ret = (struct wire_span){span->bytes, length};
	span->bytes += length;
	span->length -= length;
	return true;
}

bool
wire_read_u32(struct wire_span *span, uint32_t *ret)
{
	struct wire_span bytes;

	if (!wire_read_bytes(span, 4, &bytes))
		return false;
	*ret = (uint32_t)bytes.bytes[0] << 24 | (uint32_t)bytes.bytes[1] << 16 |
	       (uint32_t)bytes.bytes[2] << 8 | bytes.bytes[3];
	return true;
}

bool
wire_read_u64(struct wire_span *span, uint64_t *ret)
{
	struct wire_span rest = *span;
	uint32_t high;
	uint32_t low;

	if (!wire_read_u32(&rest, &high) || !wire_read_u32(&rest, &low))
		return false;
	*ret = (uint64_t)high << 32 | low;
	*span = rest;
	return true;
}

bool
wire_read_string(struct wire_span *span, struct wire_span *ret)
{
	struct wire_span rest = *span;
	uint32_t length;

	if (!wire_read_u32(&rest, &length) || !wire_read_bytes(&rest, length, ret))
		return false;
	*span = rest;
	return true;
}

bool
wire_read_mpint(struct wire_span *span, BIGNUM **ret)
{
	struct wire_span rest = *span;
	struct wire_span digits;

	if (!wire_read_string(&rest, &digits) || digits.length > MPINT_SIZE_MAX)
		return false;
	if (digits.length > 0 && (digits.bytes[0] & 0x80) != 0)
		return false;
	/* "Secure" makes OpenSSL wipe its copies of the number too. */
	BIGNUM *number = BN_secure_new();
	if (number == NULL || BN_bin2bn(digits.bytes, (int)digits.length, number) == NULL) {
		BN_clear_free(number);
		return false;
	}
	*ret = number;
	*span = rest;
	return true;
}

bool
wire_span_is(const struct wire_span *span, const char *text)
{
	return span->length == strlen(text) && memcmp(span->bytes, text, span->length) == 0;
}

bool
wire_append_u32(struct buffer *buffer, uint32_t value)
{
	const unsigned char bytes[] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
				       (unsigned char)(value >> 8), (unsigned char)value};

	return buffer_append(buffer, bytes, sizeof bytes);
}

bool
wire_append_string(struct buffer *buffer, const void *bytes, size_t length)
{
	return length <= UINT32_MAX && wire_append_u32(buffer, (uint32_t)length) &&
	       buffer_append(buffer, bytes, length);
}

bool
wire_append_text(struct buffer *buffer, const char *text)
{
	return wire_append_string(buffer, text, strlen(text));
}

bool
wire_append_mpint(struct buffer *buffer, const BIGNUM *number)
{
	unsigned char digits[MPINT_SIZE_MAX];
	/* A leading zero bit says that it is not negative; zero itself has no bytes. */
	int length = BN_is_zero(number) ? 0 : BN_num_bits(number) / 8 + 1;

	if (BN_is_negative(number) || length > MPINT_SIZE_MAX ||
	    BN_bn2binpad(number, digits, length) != length)
		return false;
	return wire_append_string(buffer, digits, (size_t)length);
}
