#include "redis/reply.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A server's bytes: what is read must not depend on how they were cut. */

enum { LIMIT = 256, LONGEST = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool is_true)
{
	if (!is_true)
		abort();
}

/* Reads all replies in pieces of `piece` bytes, and writes what they were. Returns the length. */
static size_t
read_all(const uint8_t *data, size_t size, size_t piece, char *out)
{
	struct redis_reply_reader *reader = redis_reply_reader_new(LIMIT);
	struct redis_reply reply;
	struct err err = {""};
	char value[16];
	size_t length = 0;
	size_t at = 0;

	while (at < size) {
		size_t wanted = piece < size - at ? piece : size - at;
		size_t used = 0;
		enum redis_reply_result result = redis_reply_read(reader, data + at, wanted, &used,
								  &reply, &err);
		expect(used <= wanted);
		at += used;
		if (result == REDIS_REPLY_FAILED) {
			out[length++] = '!';
			break;
		}
		if (result == REDIS_REPLY_MORE)
			continue;
		expect(reply.length <= LIMIT && reply.text[reply.length] == '\0');
		(void)redis_reply_is_error(&reply, "NOAUTH");
		(void)redis_reply_find_info(&reply, "redis_mode", value, sizeof value);
		out[length++] = (char)('0' + (char)reply.kind);
		memcpy(out + length, reply.text, reply.length);
		length += reply.length;
	}
	redis_reply_reader_free(reader);
	return length;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char whole[2 * LONGEST];
	char cut[2 * LONGEST];

	if (size > LONGEST)
		return 0;
	size_t length = read_all(data, size, SIZE_MAX, whole);
	for (size_t piece = 1; piece < 4; piece++) {
		expect(read_all(data, size, piece, cut) == length);
		expect(memcmp(whole, cut, length) == 0);
	}
	return 0;
}
