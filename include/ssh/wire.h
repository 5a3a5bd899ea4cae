#ifndef CACHETUNNEL_SSH_WIRE_H
#define CACHETUNNEL_SSH_WIRE_H

#include "base/attributes.h"
#include "base/buffer.h"

#include <openssl/bn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * SSH's data types (RFC 4251, 5): reading them from bytes of unknown origin, and appending them
 * to a buffer. A span owns nothing. Each read takes its value off the front; where the bytes do
 * not hold one, it returns false and leaves the span as it was.
 */

struct wire_span {
	const unsigned char *bytes; /* borrowed */
	size_t length;
};

bool wire_read_bytes(struct wire_span *span, size_t length, struct wire_span *ret) ATTR_MUST_CHECK;
bool wire_read_u32(struct wire_span *span, uint32_t *ret) ATTR_MUST_CHECK;
bool wire_read_u64(struct wire_span *span, uint64_t *ret) ATTR_MUST_CHECK;
bool wire_read_string(struct wire_span *span, struct wire_span *ret) ATTR_MUST_CHECK;

/* A number that is not negative; false for a negative one too. Returns owned, to be cleared. */
bool wire_read_mpint(struct wire_span *span, BIGNUM **ret) ATTR_MUST_CHECK;

bool wire_span_is(const struct wire_span *span, const char *text);

/* False: no memory, or the number is negative. */
bool wire_append_u32(struct buffer *buffer, uint32_t value) ATTR_MUST_CHECK;
bool wire_append_string(struct buffer *buffer, const void *bytes, size_t length) ATTR_MUST_CHECK;
bool wire_append_text(struct buffer *buffer, const char *text) ATTR_MUST_CHECK;
bool wire_append_mpint(struct buffer *buffer, const BIGNUM *number) ATTR_MUST_CHECK;

#endif
