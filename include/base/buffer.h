#ifndef CACHETUNNEL_BASE_BUFFER_H
#define CACHETUNNEL_BASE_BUFFER_H

#include "base/attributes.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Bytes that could not be written yet: appended at the end, consumed from the front. An empty
 * buffer owns no memory, so an idle tunnel costs nothing here. It sets no limit of its own; the
 * relay bounds it by not reading while anything is pending.
 */

struct buffer {
	unsigned char *data; /* owned; NULL while empty */
	size_t start;        /* first byte not consumed; start <= end <= capacity */
	size_t end;
	size_t capacity;
};

void buffer_init(struct buffer *buffer);
void buffer_done(struct buffer *buffer);

/* Copies `length` bytes in. False when memory ran out; the buffer is then unchanged. */
bool buffer_append(struct buffer *buffer, const void *bytes, size_t length) ATTR_MUST_CHECK;

/* Forgets the first `length` bytes, at most buffer_length(). Frees the memory when none is left. */
void buffer_consume(struct buffer *buffer, size_t length);

static inline size_t
buffer_length(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}

/* The first byte not consumed; valid until the next append or consume. */
static inline const unsigned char *
buffer_head(const struct buffer *buffer)
{
	return buffer->data + buffer->start;
}

#endif
