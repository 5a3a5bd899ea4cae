#include "redis/conversation.h"

#include "base/attributes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A conversation as text: what happened, one letter for each event. */
enum { MAX_EVENTS = 64 };

static const char letters[] = {
	[SCAN_MESSAGE] = 'm',
	[SCAN_ERROR] = 'e',
	[SCAN_PUSH] = 'p',
	[SCAN_LOST] = 'X',
};

struct scan_case {
	const char *name;
	enum scan_kind kind;
	const char *bytes;
	const char *events;
	bool ends_between;
};

static const struct scan_case cases[] = {
	{"simple string", SCAN_REPLIES, "+OK\r\n", "m", true},
	{"error", SCAN_REPLIES, "-ERR no\r\n", "e", true},
	{"integer", SCAN_REPLIES, ":-12\r\n", "m", true},
	{"string", SCAN_REPLIES, "$5\r\nhello\r\n", "m", true},
	{"empty string", SCAN_REPLIES, "$0\r\n\r\n", "m", true},
	{"no string", SCAN_REPLIES, "$-1\r\n", "m", true},
	{"no array", SCAN_REPLIES, "*-1\r\n", "m", true},
	{"empty array", SCAN_REPLIES, "*0\r\n", "m", true},
	{"array", SCAN_REPLIES, "*2\r\n$1\r\na\r\n:1\r\n", "m", true},
	{"nested arrays", SCAN_REPLIES, "*2\r\n*2\r\n:1\r\n*0\r\n*1\r\n*1\r\n+x\r\n", "m", true},
	{"protocol inside of a string", SCAN_REPLIES, "$18\r\n-READONLY x\r\n+OK\r\n\r\n", "m",
	 true},
	{"error inside of an array", SCAN_REPLIES, "*2\r\n-READONLY x\r\n+OK\r\n", "m", true},
	{"three replies", SCAN_REPLIES, "+OK\r\n$1\r\na\r\n-E\r\n", "mme", true},
	{"map", SCAN_REPLIES, "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n", "m", true},
	{"set", SCAN_REPLIES, "~2\r\n+a\r\n+b\r\n", "m", true},
	{"null, boolean, double, big number", SCAN_REPLIES, "_\r\n#t\r\n,1.5\r\n(12\r\n", "mmmm",
	 true},
	{"verbatim string, bulk error", SCAN_REPLIES, "=5\r\ntxt:x\r\n!3\r\nERR\r\n", "mm", true},
	{"push", SCAN_REPLIES, ">2\r\n+message\r\n+x\r\n+OK\r\n", "pm", true},
	{"attribute", SCAN_REPLIES, "|1\r\n+ttl\r\n:1\r\n$1\r\na\r\n", "m", true},
	{"attribute before an error", SCAN_REPLIES, "|1\r\n+ttl\r\n*1\r\n:1\r\n-ERR no\r\n", "e",
	 true},
	{"attribute before a push", SCAN_REPLIES, "|1\r\n+a\r\n-x\r\n>1\r\n+message\r\n", "p",
	 true},
	{"two attributes", SCAN_REPLIES, "|1\r\n+a\r\n:1\r\n|0\r\n-ERR no\r\n:1\r\n", "em", true},
	{"attribute inside of an array", SCAN_REPLIES, "*1\r\n|1\r\n+a\r\n:1\r\n-ERR no\r\n", "m",
	 true},
	{"half a reply", SCAN_REPLIES, "$5\r\nhel", "", false},
	{"half an array", SCAN_REPLIES, "*2\r\n+a\r\n", "", false},
	{"a line without an end", SCAN_REPLIES, "+OK", "", false},
	{"no protocol", SCAN_REPLIES, "HTTP/1.1 400\r\n", "X", false},
	{"no number", SCAN_REPLIES, "$x\r\n", "X", false},
	{"number without digits", SCAN_REPLIES, "$\r\n", "X", false},
	{"number with two signs", SCAN_REPLIES, "*--1\r\n", "X", false},
	{"number beyond all bounds", SCAN_REPLIES, "$99999999999999999999\r\n", "X", false},
	{"streamed string", SCAN_REPLIES, "$?\r\n;4\r\n", "X", false},
	{"line end without a newline", SCAN_REPLIES, "$1\rx", "X", false},

	{"request", SCAN_REQUESTS, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "m", true},
	{"two requests", SCAN_REQUESTS, "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", "mm", true},
	{"inline command", SCAN_REQUESTS, "PING\r\nSET a b\n", "mm", true},
	{"inline command that looks like a reply", SCAN_REQUESTS, "-OK\r\n$1\r\n", "mm", true},
	{"empty lines", SCAN_REQUESTS, "\r\n \r\n\nPING\r\n", "m", true},
	{"empty requests", SCAN_REQUESTS, "*0\r\n*-1\r\nPING\r\n", "m", true},
	{"half a request", SCAN_REQUESTS, "*2\r\n$3\r\nGET\r\n", "", false},
};

static void
feed(struct scan *scan, const char *bytes, size_t length, char *events)
{
	size_t at = 0;

	while (at < length) {
		size_t count = 0;
		enum scan_event event = scan_next(scan, (const unsigned char *)bytes + at,
						  length - at, &count);
		assert_true(count > 0 && count <= length - at);
		at += count;
		if (event == SCAN_NOTHING)
			continue;
		size_t used = strlen(events);
		assert_true(used < MAX_EVENTS - 1);
		events[used] = letters[event];
		events[used + 1] = '\0';
		if (event == SCAN_LOST)
			return;
	}
}

static void
check(const struct scan_case *test, const struct scan *scan, const char *events, const char *how)
{
	if (strcmp(events, test->events) != 0)
		fail_msg("%s, %s: '%s' instead of '%s'", test->name, how, events, test->events);
	if (scan_is_between(scan) != test->ends_between)
		fail_msg("%s, %s: is %sbetween messages", test->name, how,
			 test->ends_between ? "not " : "");
}

static void
messages_are_found_whole_and_byte_by_byte(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct scan_case *test = &cases[i];
		char events[MAX_EVENTS] = "";
		struct scan scan;

		scan_init(&scan, test->kind);
		feed(&scan, test->bytes, strlen(test->bytes), events);
		check(test, &scan, events, "whole");

		events[0] = '\0';
		scan_init(&scan, test->kind);
		for (size_t j = 0; j < strlen(test->bytes) && strchr(events, 'X') == NULL; j++)
			feed(&scan, test->bytes + j, 1, events);
		check(test, &scan, events, "byte by byte");
	}
}

static void
messages_are_found_wherever_they_are_cut(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct scan_case *test = &cases[i];
		size_t length = strlen(test->bytes);

		for (size_t cut = 0; cut <= length; cut++) {
			char events[MAX_EVENTS] = "";
			struct scan scan;
			scan_init(&scan, test->kind);
			feed(&scan, test->bytes, cut, events);
			if (strchr(events, 'X') == NULL)
				feed(&scan, test->bytes + cut, length - cut, events);
			check(test, &scan, events, "cut");
		}
	}
}

static void
a_string_of_a_gigabyte_is_skipped(void **state ATTR_UNUSED)
{
	static const char piece[1 << 16];
	char events[MAX_EVENTS] = "";
	struct scan scan;

	scan_init(&scan, SCAN_REPLIES);
	feed(&scan, "$1073741824\r\n", 13, events);
	for (int i = 0; i < 1 << 14; i++)
		feed(&scan, piece, sizeof piece, events);
	assert_string_equal(events, "");
	feed(&scan, "\r\n", 2, events);
	assert_string_equal(events, "m");
}

static void
request(struct conversation *conversation, const char *text)
{
	conversation_on_request(conversation, (const unsigned char *)text, strlen(text));
}

static bool
reply(struct conversation *conversation, const char *text)
{
	return conversation_on_reply(conversation, (const unsigned char *)text, strlen(text));
}

static void
it_is_quiet_when_every_request_has_its_reply(void **state ATTR_UNUSED)
{
	struct conversation talk;

	conversation_init(&talk);
	assert_true(conversation_is_quiet(&talk));
	request(&talk, "*1\r\n$4\r\nPI");
	assert_false(conversation_is_quiet(&talk));
	request(&talk, "NG\r\nPING\r\n");
	assert_false(conversation_is_quiet(&talk));
	(void)reply(&talk, "+PONG\r\n");
	assert_false(conversation_is_quiet(&talk)); /* there is one more to come */
	(void)reply(&talk, "+PON");
	assert_false(conversation_is_quiet(&talk));
	(void)reply(&talk, "G\r\n");
	assert_true(conversation_is_quiet(&talk));
}

static void
what_nobody_asked_for_does_not_count_as_a_reply(void **state ATTR_UNUSED)
{
	struct conversation talk;

	conversation_init(&talk);
	(void)reply(&talk, "*1\r\n+message\r\n>1\r\n+message\r\n");
	assert_true(conversation_is_quiet(&talk));
	request(&talk, "PING\r\n");
	(void)reply(&talk, ">1\r\n+message\r\n");
	assert_false(conversation_is_quiet(&talk));
}

static void
readonly_is_seen_wherever_it_is_cut_and_nowhere_else(void **state ATTR_UNUSED)
{
	static const char text[] = "+OK\r\n-READONLY You can't write\r\n";
	struct conversation talk;

	for (size_t cut = 0; cut < sizeof text; cut++) {
		conversation_init(&talk);
		bool is_seen = conversation_on_reply(&talk, (const unsigned char *)text, cut);
		is_seen |= reply(&talk, text + cut);
		assert_true(is_seen);
		assert_false(reply(&talk, "+OK\r\n-READONL\r\n-ERR READONLY\r\n+READONLY\r\n"));
		assert_false(reply(&talk, "*1\r\n-READONLY x\r\n$9\r\n-READONLY\r\n"));
	}
	conversation_init(&talk);
	assert_true(reply(&talk, "|1\r\n+key-popularity\r\n%1\r\n+a\r\n,0.5\r\n-READONLY x\r\n"));
}

static void
what_is_no_redis_is_never_quiet(void **state ATTR_UNUSED)
{
	struct conversation talk;

	conversation_init(&talk);
	(void)reply(&talk, "hello");
	assert_false(conversation_is_quiet(&talk));
	request(&talk, "PING\r\n");
	assert_false(reply(&talk, "+PONG\r\n-READONLY x\r\n"));
	assert_false(conversation_is_quiet(&talk));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_found_whole_and_byte_by_byte),
		cmocka_unit_test(messages_are_found_wherever_they_are_cut),
		cmocka_unit_test(a_string_of_a_gigabyte_is_skipped),
		cmocka_unit_test(it_is_quiet_when_every_request_has_its_reply),
		cmocka_unit_test(what_nobody_asked_for_does_not_count_as_a_reply),
		cmocka_unit_test(readonly_is_seen_wherever_it_is_cut_and_nowhere_else),
		cmocka_unit_test(what_is_no_redis_is_never_quiet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
