#include "redis/reply.h"

#include "base/text.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum reader_state {
	READER_TYPE, /* the next byte says what kind of reply follows */
	READER_LINE, /* a line up to CR LF: the reply itself, or a blob's length */
	READER_LINE_FEED,
	READER_BLOB,
	READER_BLOB_RETURN, /* CR LF after the blob */
	READER_BLOB_FEED,
	READER_DONE,
	READER_FAILED,
};

struct redis_reply_reader {
	enum reader_state state;
	unsigned char type;
	size_t limit;
	size_t expected; /* of a blob */
	size_t length;   /* of the text so far */
	char text[];     /* limit + 1 bytes */
};

struct redis_reply_reader *
redis_reply_reader_new(size_t limit)
{
	struct redis_reply_reader *reader = calloc(1, sizeof *reader + limit + 1);

	if (reader != NULL)
		reader->limit = limit;
	return reader;
}

void
redis_reply_reader_free(struct redis_reply_reader *reader)
{
	free(reader);
}

static bool
is_blob(unsigned char type)
{
	return type == '$' || type == '=' || type == '!';
}

static bool
fail(struct redis_reply_reader *reader, struct err *err, const char *why)
{
	reader->state = READER_FAILED;
	return err_set(err, "what answers does not speak Redis: %s", why);
}

static bool
take_type(struct redis_reply_reader *reader, unsigned char byte, struct err *err)
{
	static const char known[] = "+-:_#,($=!";

	if (byte == '\0' || strchr(known, byte) == NULL)
		return fail(reader, err, "its reply begins with no type that could be an answer");
	reader->type = byte;
	reader->length = 0;
	reader->state = READER_LINE;
	return true;
}

static bool
append(struct redis_reply_reader *reader, unsigned char byte, struct err *err)
{
	if (reader->length >= reader->limit)
		return fail(reader, err, "its reply is too long");
	reader->text[reader->length++] = (char)byte;
	return true;
}

/* A blob's length has been read; "-1" is RESP2's null. */
static bool
begin_blob(struct redis_reply_reader *reader, struct err *err)
{
	long length;

	if (strcmp(reader->text, "-1") == 0 && reader->type == '$') {
		reader->type = '_';
		reader->length = 0;
		reader->state = READER_DONE;
		return true;
	}
	if (!text_to_long(reader->text, 0, INT32_MAX, &length))
		return fail(reader, err, "a blob has no proper length");
	if ((size_t)length > reader->limit)
		return fail(reader, err, "its reply is too long");
	reader->expected = (size_t)length;
	reader->length = 0;
	reader->state = length > 0 ? READER_BLOB : READER_BLOB_RETURN;
	return true;
}

static bool
end_line(struct redis_reply_reader *reader, struct err *err)
{
	reader->text[reader->length] = '\0';
	if (is_blob(reader->type))
		return begin_blob(reader, err);
	reader->state = READER_DONE;
	return true;
}

static bool
take_byte(struct redis_reply_reader *reader, unsigned char byte, struct err *err)
{
	switch (reader->state) {
	case READER_TYPE:
		return take_type(reader, byte, err);
	case READER_LINE:
		if (byte != '\r')
			return append(reader, byte, err);
		reader->state = READER_LINE_FEED;
		return true;
	case READER_LINE_FEED:
		return byte == '\n' ? end_line(reader, err)
				    : fail(reader, err, "a line has no proper end");
	case READER_BLOB:
		if (!append(reader, byte, err))
			return false;
		if (reader->length == reader->expected)
			reader->state = READER_BLOB_RETURN;
		return true;
	case READER_BLOB_RETURN:
		reader->state = READER_BLOB_FEED;
		return byte == '\r' || fail(reader, err, "a blob has no proper end");
	case READER_BLOB_FEED:
		reader->state = READER_DONE;
		return byte == '\n' || fail(reader, err, "a blob has no proper end");
	case READER_DONE:
	case READER_FAILED:
		break;
	}
	return fail(reader, err, "it went on after its end");
}

static enum redis_reply_kind
kind_of(unsigned char type)
{
	switch (type) {
	case '+':
		return REDIS_REPLY_STATUS;
	case '-':
	case '!':
		return REDIS_REPLY_ERROR;
	case '$':
	case '=':
		return REDIS_REPLY_BLOB;
	case '_':
		return REDIS_REPLY_NULL;
	default:
		return REDIS_REPLY_VALUE;
	}
}

enum redis_reply_result
redis_reply_read(struct redis_reply_reader *reader, const unsigned char *bytes, size_t length,
		 size_t *ret_used, struct redis_reply *ret_reply, struct err *err)
{
	size_t used = 0;

	if (reader->state == READER_DONE)
		reader->state = READER_TYPE;
	while (used < length && reader->state != READER_DONE) {
		if (!take_byte(reader, bytes[used], err)) {
			*ret_used = used;
			return REDIS_REPLY_FAILED;
		}
		used++;
	}
	*ret_used = used;
	if (reader->state != READER_DONE)
		return REDIS_REPLY_MORE;
	assert(reader->length <= reader->limit);
	reader->text[reader->length] = '\0';
	*ret_reply = (struct redis_reply){
		.kind = kind_of(reader->type),
		.text = reader->text,
		.length = reader->length,
	};
	return REDIS_REPLY_DONE;
}

bool
redis_reply_is_error(const struct redis_reply *reply, const char *word)
{
	size_t length = strlen(word);

	return reply->kind == REDIS_REPLY_ERROR && strncmp(reply->text, word, length) == 0 &&
	       (reply->text[length] == ' ' || reply->text[length] == '\0');
}

bool
redis_reply_find_info(const struct redis_reply *reply, const char *name, char *out, size_t size)
{
	size_t name_length = strlen(name);
	const char *line = reply->text;

	while (line != NULL && reply->kind == REDIS_REPLY_BLOB) {
		if (strncmp(line, name, name_length) == 0 && line[name_length] == ':') {
			const char *value = line + name_length + 1;
			size_t length = strcspn(value, "\r\n");
			if (length >= size)
				length = size - 1;
			memcpy(out, value, length);
			out[length] = '\0';
			return true;
		}
		line = strchr(line, '\n');
		line = line != NULL ? line + 1 : NULL;
	}
	return false;
}
