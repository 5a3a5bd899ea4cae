#include "base/buffer.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void
buffer_init(struct buffer *buffer)
{
	*buffer = (struct buffer){0};
}

void
buffer_done(struct buffer *buffer)
{
	free(buffer->data);
	buffer_init(buffer);
}

bool
buffer_append(struct buffer *buffer, const void *bytes, size_t length)
{
	if (length == 0)
		return true;

	if (length > SIZE_MAX - buffer->end)
		return false;
	if (buffer->end + length > buffer->capacity && buffer->start > 0) {
		memmove(buffer->data, buffer_head(buffer), buffer_length(buffer));
		buffer->end -= buffer->start;
		buffer->start = 0;
	}
	if (buffer->end + length > buffer->capacity) {
		/* Exact at first, because many are filled once; then by doubling. */
		size_t needed = buffer->end + length;
		size_t doubled = buffer->capacity <= SIZE_MAX / 2 ? buffer->capacity * 2 : needed;
		size_t capacity = needed > doubled ? needed : doubled;
		unsigned char *grown = realloc(buffer->data, capacity);
		if (grown == NULL)
			return false;
		buffer->data = grown;
		buffer->capacity = capacity;
	}
	memcpy(buffer->data + buffer->end, bytes, length);
	buffer->end += length;
	return true;
}

void
buffer_consume(struct buffer *buffer, size_t length)
{
	assert(length <= buffer_length(buffer));

	buffer->start += length;
	if (buffer->start == buffer->end)
		buffer_done(buffer);
}
