#include "scripted_stream.h"

#include "base/memory.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_SIZE = 64, WRITTEN_SIZE = 4096 };

struct scripted_stream {
	struct stream stream; /* first, so that the two can be cast */
	const char *reads;    /* what is left of the scripts */
	const char *writes;
	size_t word_offset; /* of the data word being read: what was read of it */
	bool has_pending;
	char written[WRITTEN_SIZE];
	size_t written_length;
	long shutdown_after;
	struct event *ready;
};

static struct scripted_stream *
from_stream(struct stream *stream)
{
	return (struct scripted_stream *)(void *)stream;
}

static const struct scripted_stream *
from_const_stream(const struct stream *stream)
{
	return (const struct scripted_stream *)(const void *)stream;
}

/* Copies the script's first word; empty when there is none left. */
static void
first_word(const char *script, char *word)
{
	size_t length = strcspn(script, " ");

	memcpy(word, script, length);
	word[length] = '\0';
}

static const char *
without_first_word(const char *script)
{
	script += strcspn(script, " ");
	return *script == ' ' ? script + 1 : script;
}

static bool
starts_with(const char *word, const char *start)
{
	return strncmp(word, start, strlen(start)) == 0;
}

static enum stream_result
named_result(const char *word, struct err *err)
{
	(void)err_set(err, "as scripted");
	if (strcmp(word, "eof") == 0)
		return STREAM_EOF;
	if (strcmp(word, "reset") == 0)
		return STREAM_RESET;
	if (strcmp(word, "failed") == 0)
		return STREAM_FAILED;
	return STREAM_AGAIN;
}

static enum stream_result
scripted_read(struct stream *stream, void *into, size_t size, size_t *ret_count, struct err *err)
{
	struct scripted_stream *scripted = from_stream(stream);
	char word[WORD_SIZE];

	first_word(scripted->reads, word);
	scripted->has_pending = false;
	if (!starts_with(word, "data:") && !starts_with(word, "more:")) {
		enum stream_result result = named_result(word, err);
		/* An end stays an end. */
		if (result == STREAM_AGAIN)
			scripted->reads = without_first_word(scripted->reads);
		return result;
	}
	const char *text = word + 5 + scripted->word_offset;
	size_t count = strlen(text) < size ? strlen(text) : size;
	memcpy(into, text, count);
	scripted->word_offset += count;
	if (text[count] == '\0') {
		scripted->word_offset = 0;
		scripted->has_pending = starts_with(word, "more:");
		scripted->reads = without_first_word(scripted->reads);
	}
	*ret_count = count;
	return STREAM_OK;
}

static enum stream_result
scripted_write(struct stream *stream, const void *bytes, size_t length, size_t *ret_count,
	       struct err *err)
{
	struct scripted_stream *scripted = from_stream(stream);
	char word[WORD_SIZE];
	size_t count = length;

	first_word(scripted->writes, word);
	if (starts_with(word, "take:")) {
		size_t limit = strtoul(word + 5, NULL, 10);
		count = length < limit ? length : limit;
	} else if (strcmp(word, "full") == 0) {
		return STREAM_AGAIN;
	} else if (word[0] != '\0') {
		enum stream_result result = named_result(word, err);
		if (result == STREAM_AGAIN)
			scripted->writes = without_first_word(scripted->writes);
		return result;
	}
	scripted->writes = without_first_word(scripted->writes);
	memcpy(scripted->written + scripted->written_length, bytes, count);
	scripted->written_length += count;
	*ret_count = count;
	return STREAM_OK;
}

static enum stream_result
scripted_shutdown(struct stream *stream, struct err *err ATTR_UNUSED)
{
	struct scripted_stream *scripted = from_stream(stream);

	scripted->shutdown_after = (long)scripted->written_length;
	return STREAM_OK;
}

static bool
scripted_has_pending(const struct stream *stream)
{
	return from_const_stream(stream)->has_pending;
}

/* Readiness comes one loop turn later, for as long as the script has something to say. */
static void
announce(struct scripted_stream *scripted)
{
	unsigned interest = scripted->stream.interest;
	bool is_full = strcmp(scripted->writes, "full") == 0;

	if (((interest & STREAM_READ) && *scripted->reads != '\0') ||
	    ((interest & STREAM_WRITE) && !is_full))
		event_active(scripted->ready, EV_TIMEOUT, 0);
}

static void
on_ready(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct scripted_stream *scripted = arg;
	unsigned ready = scripted->stream.interest & STREAM_WRITE;

	if (*scripted->reads != '\0')
		ready |= scripted->stream.interest & STREAM_READ;
	stream_notify(&scripted->stream, ready);
	announce(scripted);
}

static void
scripted_set_interest(struct stream *stream, unsigned interest ATTR_UNUSED)
{
	announce(from_stream(stream));
}

static void
scripted_reset_on_close(struct stream *stream ATTR_UNUSED)
{
}

static void
scripted_free(struct stream *stream)
{
	event_free(from_stream(stream)->ready);
	free(stream);
}

static const struct stream_ops scripted_ops = {
	.read = scripted_read,
	.write = scripted_write,
	.shutdown = scripted_shutdown,
	.has_pending = scripted_has_pending,
	.set_interest = scripted_set_interest,
	.reset_on_close = scripted_reset_on_close,
	.free = scripted_free,
};

struct stream *
scripted_stream_new(struct event_base *base, const char *reads, const char *writes)
{
	struct scripted_stream *scripted = memory_zero(sizeof *scripted);

	stream_init(&scripted->stream, &scripted_ops);
	scripted->reads = reads;
	scripted->writes = writes;
	scripted->shutdown_after = -1;
	scripted->ready = event_new(base, -1, 0, on_ready, scripted);
	return &scripted->stream;
}

const char *
scripted_stream_written(const struct stream *stream)
{
	return from_const_stream(stream)->written;
}

long
scripted_stream_shutdown_after(const struct stream *stream)
{
	return from_const_stream(stream)->shutdown_after;
}

unsigned
scripted_stream_interest(const struct stream *stream)
{
	return stream->interest;
}
