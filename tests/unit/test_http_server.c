#include "http_talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What a client says, and what comes of it; "…" stands for whatever text explains a refusal. */
static const struct row {
	const char *said;
	const char *outcome;
} rows[] = {
	{"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n",
	 "GET [/status] [none] [none]\nHTTP/1.1 200 OK\nunderstood\n"},
	{"GET / HTTP/1.0\r\n\r\n", "GET [/] [none] [none]\nHTTP/1.0 200 OK\nunderstood\n"},
	{"GET /a%20b?verbose= HTTP/1.1\r\nAccept: text/html\r\n\r\n",
	 "GET [/a%20b] [] [text/html]\nHTTP/1.1 200 OK\nunderstood\n"},
	{"GET /?verbose=a%26b&x=1 HTTP/1.1\r\nAccept: a,\r\n b\r\n\r\n",
	 "GET [/] [a&b] [a, b]\nHTTP/1.1 200 OK\nunderstood\n"},
	{"POST /stop HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
	 "POST [/stop] [none] [none]\nHTTP/1.1 200 OK\nunderstood\n"},
	{"POST /stop HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	 "POST [/stop] [none] [none]\nHTTP/1.1 200 OK\nunderstood\n"},
	{"GET /one HTTP/1.1\r\n\r\nGET /two HTTP/1.1\r\n\r\n",
	 "GET [/one] [none] [none]\nHTTP/1.1 200 OK\nunderstood\n"},
	{"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
	 "HTTP/1.1 403 Forbidden\n…"},
	{"GET / HTTP/1.1\r\nHost: [::1]evil\r\n\r\n", "HTTP/1.1 403 Forbidden\n…"},
	{"GET /?=&=%zz&%00 HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\n…"},
	{"GET /?verbose HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\n…"},
	{"DELETE / HTTP/1.1\r\n\r\n", "HTTP/1.1 501 Not Implemented\n…"},
	{"POST / HTTP/1.1\r\nContent-Length: 1025\r\n\r\n",
	 "HTTP/1.1 413 Request Entity Too Large\n…"},
	{"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400 Bad Request\n…"},
	{"GET / HTTP/1.1\r\nno colon\r\n\r\n", "HTTP/1.1 400 Bad Request\n…"},
	{"PING\r\n\r\n", "HTTP/1.1 400 Bad Request\n…"},
	/* Not over: nothing is said yet. */
	{"GET / HTTP/1.1\r\nHost: localhost\r\n", "\n"},
	{"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell", "\n"},
	{"", "\n"},
};

static void
expect_outcome(const struct row *row, size_t first, size_t piece)
{
	char outcome[HTTP_TALK_SIZE];
	size_t length = strlen(row->outcome);
	size_t dots = strlen("…");
	bool is_open = length > dots && strcmp(row->outcome + length - dots, "…") == 0;

	http_talk(row->said, strlen(row->said), first, piece, outcome);
	if (is_open ? strncmp(outcome, row->outcome, length - dots) != 0
		    : strcmp(outcome, row->outcome) != 0)
		fail_msg("'%s' with %zu bytes first, then pieces of %zu: '%s' instead of '%s'",
			 row->said, first, piece, outcome, row->outcome);
}

static void
test_whole_and_byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		expect_outcome(&rows[i], SIZE_MAX, SIZE_MAX);
		expect_outcome(&rows[i], 1, 1);
	}
}

static void
test_cut_at_each_offset(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		for (size_t cut = 1; cut < strlen(rows[i].said); cut++)
			expect_outcome(&rows[i], cut, SIZE_MAX);
	}
}

/* A request that ends anywhere is waited for, or refused, but never taken for a whole one. */
static void
test_every_beginning_is_not_the_whole(void **state)
{
	const char *said = rows[0].said;
	char outcome[HTTP_TALK_SIZE];

	(void)state;
	for (size_t size = 0; size < strlen(said); size++) {
		http_talk(said, size, size, 1, outcome);
		assert_string_equal(outcome, "\n");
	}
}

static void
test_headers_are_limited(void **state)
{
	char said[10000];
	char outcome[HTTP_TALK_SIZE];
	int length = snprintf(said, sizeof said, "GET / HTTP/1.1\r\nAccept: %09000d\r\n\r\n", 0);

	(void)state;
	http_talk(said, (size_t)length, SIZE_MAX, SIZE_MAX, outcome);
	assert_null(strstr(outcome, "200 OK"));
	http_talk(said, (size_t)length, 1000, 1000, outcome);
	assert_null(strstr(outcome, "200 OK"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_and_byte_by_byte),
		cmocka_unit_test(test_cut_at_each_offset),
		cmocka_unit_test(test_every_beginning_is_not_the_whole),
		cmocka_unit_test(test_headers_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
