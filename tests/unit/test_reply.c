#include "redis/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { LIMIT = 64 };

static const struct {
	const char *bytes;
	enum redis_reply_kind kind;
	const char *text;
} good[] = {
	{"+PONG\r\n", REDIS_REPLY_STATUS, "PONG"},
	{"+\r\n", REDIS_REPLY_STATUS, ""},
	{"-NOAUTH Authentication required.\r\n", REDIS_REPLY_ERROR,
	 "NOAUTH Authentication required."},
	{"!5\r\nERR x\r\n", REDIS_REPLY_ERROR, "ERR x"},
	{":42\r\n", REDIS_REPLY_VALUE, "42"},
	{"#t\r\n", REDIS_REPLY_VALUE, "t"},
	{",1.5\r\n", REDIS_REPLY_VALUE, "1.5"},
	{"(12345678901234567890\r\n", REDIS_REPLY_VALUE, "12345678901234567890"},
	{"$5\r\nhello\r\n", REDIS_REPLY_BLOB, "hello"},
	{"$0\r\n\r\n", REDIS_REPLY_BLOB, ""},
	{"$4\r\na\r\nb\r\n", REDIS_REPLY_BLOB, "a\r\nb"},
	{"=7\r\ntxt:abc\r\n", REDIS_REPLY_BLOB, "txt:abc"},
	{"$-1\r\n", REDIS_REPLY_NULL, ""},
	{"_\r\n", REDIS_REPLY_NULL, ""},
};

static const char *const bad[] = {
	"\r\n",         "PONG\r\n",      "HTTP/1.1 400 Bad Request\r\n",
	"*1\r\n+x\r\n", "\x16\x03\x01",  "+a\rb",
	"$x\r\n",       "$-2\r\n",       "!-1\r\n",
	"$ 1\r\n",      "$65\r\n",       "$1\r\nab",
	"$1\r\na\rb",   "$\r\n",         "$99999999999\r\n",
	"$1e3\r\n",     "$5\r\nhello\n",
};

/* Feeds pieces of `piece` bytes, the first one of `first`. */
static enum redis_reply_result
feed(struct redis_reply_reader *reader, const char *bytes, size_t length, size_t first,
     size_t piece, struct redis_reply *reply)
{
	struct err err = {""};
	size_t at = 0;
	size_t next = first;

	while (at < length) {
		size_t size = next < length - at ? next : length - at;
		size_t used = SIZE_MAX;
		enum redis_reply_result result = redis_reply_read(
			reader, (const unsigned char *)bytes + at, size, &used, reply, &err);
		assert_true(used <= size);
		at += used;
		if (result == REDIS_REPLY_FAILED)
			assert_string_not_equal(err.text, "");
		if (result != REDIS_REPLY_MORE) {
			assert_true(result == REDIS_REPLY_FAILED || at == length);
			return result;
		}
		assert_int_equal(used, size);
		next = piece;
	}
	return REDIS_REPLY_MORE;
}

static void
check_good(size_t index, size_t first, size_t piece)
{
	struct redis_reply_reader *reader = redis_reply_reader_new(LIMIT);
	const char *bytes = good[index].bytes;
	struct redis_reply reply;

	/* Twice, as a reader begins anew by itself. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(feed(reader, bytes, strlen(bytes), first, piece, &reply),
				 REDIS_REPLY_DONE);
		assert_int_equal(reply.kind, good[index].kind);
		assert_int_equal(reply.length, strlen(good[index].text));
		assert_string_equal(reply.text, good[index].text);
	}
	redis_reply_reader_free(reader);
}

static void
replies_are_read_whole_and_byte_by_byte(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
		check_good(i, SIZE_MAX, SIZE_MAX);
		check_good(i, 1, 1);
	}
}

static void
replies_may_be_cut_anywhere(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
		for (size_t at = 1; at < strlen(good[i].bytes); at++)
			check_good(i, at, SIZE_MAX);
	}
}

static void
an_incomplete_reply_waits_for_more(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
		for (size_t length = 1; length < strlen(good[i].bytes); length++) {
			struct redis_reply_reader *reader = redis_reply_reader_new(LIMIT);
			struct redis_reply reply;
			assert_int_equal(
				feed(reader, good[i].bytes, length, SIZE_MAX, SIZE_MAX, &reply),
				REDIS_REPLY_MORE);
			redis_reply_reader_free(reader);
		}
	}
}

static void
what_is_no_reply_fails_however_it_comes(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		for (size_t first = 1; first <= strlen(bad[i]); first++) {
			struct redis_reply_reader *reader = redis_reply_reader_new(LIMIT);
			struct redis_reply reply;
			assert_int_equal(feed(reader, bad[i], strlen(bad[i]), first, 1, &reply),
					 REDIS_REPLY_FAILED);
			redis_reply_reader_free(reader);
		}
	}
}

static void
a_line_is_bounded(void **state ATTR_UNUSED)
{
	struct redis_reply_reader *reader = redis_reply_reader_new(LIMIT);
	char bytes[LIMIT + 4];
	struct redis_reply reply;

	memset(bytes, 'a', sizeof bytes);
	bytes[0] = '+';
	memcpy(bytes + LIMIT + 1, "\r\n", 2);
	assert_int_equal(feed(reader, bytes, LIMIT + 3, 1, 1, &reply), REDIS_REPLY_DONE);
	assert_int_equal(reply.length, LIMIT);
	memset(bytes + 1, 'a', sizeof bytes - 1);
	assert_int_equal(feed(reader, bytes, sizeof bytes, 1, 1, &reply), REDIS_REPLY_FAILED);
	redis_reply_reader_free(reader);
}

static void
replies_in_one_piece_are_read_one_by_one(void **state ATTR_UNUSED)
{
	static const unsigned char bytes[] = "+one\r\n$3\r\ntwo\r\n:3\r\n";
	static const char *const texts[] = {"one", "two", "3"};
	struct redis_reply_reader *reader = redis_reply_reader_new(LIMIT);
	struct redis_reply reply;
	struct err err;
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
		size_t used = 0;
		assert_int_equal(redis_reply_read(reader, bytes + at, sizeof bytes - 1 - at, &used,
						  &reply, &err),
				 REDIS_REPLY_DONE);
		assert_string_equal(reply.text, texts[i]);
		at += used;
	}
	assert_int_equal(at, sizeof bytes - 1);
	redis_reply_reader_free(reader);
}

static void
an_error_is_known_by_its_first_word(void **state ATTR_UNUSED)
{
	const struct redis_reply error = {REDIS_REPLY_ERROR, "NOAUTH Authentication required.", 31};
	const struct redis_reply status = {REDIS_REPLY_STATUS, "NOAUTH", 6};

	assert_true(redis_reply_is_error(&error, "NOAUTH"));
	assert_false(redis_reply_is_error(&error, "NOAUT"));
	assert_false(redis_reply_is_error(&error, "NOAUTHX"));
	assert_false(redis_reply_is_error(&status, "NOAUTH"));
}

static void
info_is_searched_line_by_line(void **state ATTR_UNUSED)
{
	static const char text[] = "# Server\r\nredis_version:7.0.15\r\nnot_redis_mode:x\r\n"
				   "redis_mode:cluster\r\nlast:no line end";
	const struct redis_reply info = {REDIS_REPLY_BLOB, text, sizeof text - 1};
	char out[8];

	assert_true(redis_reply_find_info(&info, "redis_version", out, sizeof out));
	assert_string_equal(out, "7.0.15");
	assert_true(redis_reply_find_info(&info, "redis_mode", out, sizeof out));
	assert_string_equal(out, "cluster");
	assert_true(redis_reply_find_info(&info, "last", out, sizeof out));
	assert_string_equal(out, "no line");
	assert_false(redis_reply_find_info(&info, "redis", out, sizeof out));
	assert_false(redis_reply_find_info(&info, "valkey_version", out, sizeof out));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_are_read_whole_and_byte_by_byte),
		cmocka_unit_test(replies_may_be_cut_anywhere),
		cmocka_unit_test(an_incomplete_reply_waits_for_more),
		cmocka_unit_test(what_is_no_reply_fails_however_it_comes),
		cmocka_unit_test(a_line_is_bounded),
		cmocka_unit_test(replies_in_one_piece_are_read_one_by_one),
		cmocka_unit_test(an_error_is_known_by_its_first_word),
		cmocka_unit_test(info_is_searched_line_by_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
