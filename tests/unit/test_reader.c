#include "config/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LOG_SIZE = 8192 };

/* What the reader said, one line each. */
struct log {
	char text[LOG_SIZE];
	size_t length;
	char last_value[READER_LINE_SIZE];
};

static void
add(struct log *log, const char *kind, const char *one, const char *two, struct location at)
{
	assert_string_equal(at.file, "f");
	int added = snprintf(log->text + log->length, sizeof log->text - log->length,
			     "%u %s %.60s|%.60s\n", at.line, kind, one, two);
	if (added > 0 && log->length + (size_t)added < sizeof log->text)
		log->length += (size_t)added;
}

static void
on_section(void *arg, const char *name, struct location at)
{
	add(arg, "section", name, "", at);
}

static void
on_option(void *arg, const char *name, const char *value, struct location at)
{
	struct log *log = arg;

	add(arg, "option", name, value, at);
	(void)snprintf(log->last_value, sizeof log->last_value, "%s", value);
}

static void
on_error(void *arg, struct location at, const char *text)
{
	add(arg, "error", text, "", at);
}

static const struct reader_events events = {on_section, on_option, on_error};

/* Reads `length` bytes, `chunk` at a time (0: as the C library likes). */
static struct log *
read_bytes(const char *bytes, size_t length, size_t chunk)
{
	struct log *log = test_calloc(1, sizeof *log);
	struct err err = {""};
	FILE *stream = tmpfile();

	assert_non_null(stream);
	assert_int_equal(fwrite(bytes, 1, length, stream), length);
	assert_int_equal(fflush(stream), 0);
	int copy = dup(fileno(stream));
	assert_int_equal(fclose(stream), 0);
	assert_int_equal(lseek(copy, 0, SEEK_SET), 0);
	stream = fdopen(copy, "r");
	assert_non_null(stream);
	if (chunk > 0)
		assert_int_equal(setvbuf(stream, NULL, _IOFBF, chunk), 0);
	if (!reader_read(stream, "f", &events, log, &err))
		fail_msg("%s", err.text);
	(void)fclose(stream);
	return log;
}

static void
expect_bytes(const char *bytes, size_t length, const char *expected)
{
	for (size_t chunk = 0; chunk < 3; chunk++) {
		struct log *log = read_bytes(bytes, length, chunk);
		assert_string_equal(log->text, expected);
		test_free(log);
	}
}

static const struct {
	const char *text;
	const char *expected;
} cases[] = {
	{"", ""},
	{"\n\n  \n", ""},
	{"a = 1", "1 option a|1\n"},
	{"a=1\n", "1 option a|1\n"},
	{"a =\n", "1 option a|\n"},
	{"a\t=\t1\t\n", "1 option a|1\n"},
	{"a = 1\r\nb = 2\r\n", "1 option a|1\n2 option b|2\n"},
	{"\xef\xbb\xbf"
	 "a = 1\n",
	 "1 option a|1\n"},
	{"\xef\xbb\xbf[s]\n", "1 section s|\n"},
	{"x = 1\n\xef\xbb\xbf"
	 "a = 1\n",
	 "1 option x|1\n2 error \"...a\" before '=' is not the name of an option|\n"},
	{"; c\n# d\n  ; e\n  # f\na=1\n", "5 option a|1\n"},
	{"a = 1 ; kept\nb = 1 # kept\n", "1 option a|1 ; kept\n2 option b|1 # kept\n"},
	{"a = x;y=z:w\n", "1 option a|x;y=z:w\n"},
	{"[s]\n  a = 1\n  b = 2\n\tc = 3\n",
	 "1 section s|\n2 option a|1\n3 option b|2\n4 option c|3\n"},
	{"a = 1\n  b = 2\n", "1 option a|1\n2 option b|2\n"},
	{"[s]\n[s]\n[]\n[ a b ]\n", "1 section s|\n2 section s|\n3 section |\n4 section a b|\n"},
	{"[a]b]\n", "1 section a]b|\n"},
	{"[open\na = 1\n", "1 error \"[open\" begins a section but does not end with ']'|\n"
			   "2 option a|1\n"},
	{"[s] ; c\n", "1 error \"[s] ; c\" begins a section but does not end with ']'|\n"},
	{"[", "1 error \"[\" begins a section but does not end with ']'|\n"},
	{"connect: a:1\n",
	 "1 error \"connect\" begins a line that is neither 'name = value' nor a|\n"},
	{"connect: a = 1\n", "1 error \"connect: a\" before '=' is not the name of an option|\n"},
	{"= 1\n", "1 error there is no option name before '='|\n"},
	{"word\na = 1\n", "1 error \"word\" is neither 'name = value' nor a [section]|\n"
			  "2 option a|1\n"},
	{"a = 1\rb = 2\n", "1 error the line has a carriage return inside; lines end with a line"
			   "|\n"},
	{"a = \x1b[2J\n", "1 option a|\x1b[2J\n"},
	{"a.b-c_9 = 1\n", "1 option a.b-c_9|1\n"},
};

static void
the_grammar_is_stunnels(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		expect_bytes(cases[i].text, strlen(cases[i].text), cases[i].expected);
}

static void
a_file_may_end_anywhere(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		for (size_t length = 0; length <= strlen(cases[i].text); length++)
			test_free(read_bytes(cases[i].text, length, 1));
	}
}

static void
a_nul_byte_spoils_its_line_only(void **state ATTR_UNUSED)
{
	static const char bytes[] = "a = 1\0x\nb = 2\n\0\nc = 3";

	expect_bytes(bytes, sizeof bytes - 1,
		     "1 error the line has a NUL byte; is this a text file?|\n2 option b|2\n"
		     "3 error the line has a NUL byte; is this a text file?|\n4 option c|3\n");
}

static void
a_line_of_almost_sixteen_kilobytes_arrives_whole(void **state ATTR_UNUSED)
{
	static char bytes[READER_LINE_SIZE];

	memset(bytes, 'v', sizeof bytes);
	memcpy(bytes, "a = ", 4);
	bytes[sizeof bytes - 1] = '\n';
	struct log *log = read_bytes(bytes, sizeof bytes, 0);
	assert_int_equal(strlen(log->last_value), sizeof bytes - 5);
	test_free(log);
}

static void
a_longer_line_is_an_error_and_the_next_is_read(void **state ATTR_UNUSED)
{
	static char bytes[3 * READER_LINE_SIZE];

	memset(bytes, 'v', sizeof bytes);
	memcpy(bytes, "a = ", 4);
	memcpy(bytes + sizeof bytes - 7, "\nb = 2\n", 7);
	expect_bytes(bytes, sizeof bytes,
		     "1 error the line is longer than 16 KiB|\n2 option b|2\n");
}

static void
a_long_section_name_is_not_cut(void **state ATTR_UNUSED)
{
	expect_bytes("[123456789-123456789-123456789-123456789-123456789-1234567]\n", 60,
		     "1 section 123456789-123456789-123456789-123456789-123456789-1234567|\n");
}

static void
a_long_name_of_an_option_is_an_error(void **state ATTR_UNUSED)
{
	char bytes[100];

	memset(bytes, 'n', sizeof bytes);
	memcpy(bytes + 90, " = 1", 4);
	struct log *log = read_bytes(bytes, 94, 0);
	assert_non_null(strstr(log->text, "1 error"));
	assert_null(strstr(log->text, "option n"));
	test_free(log);
}

static void
a_directory_cannot_be_read(void **state ATTR_UNUSED)
{
	struct log *log = test_calloc(1, sizeof *log);
	struct err err = {""};
	FILE *stream = fopen("/", "r");

	assert_non_null(stream);
	assert_false(reader_read(stream, "f", &events, log, &err));
	assert_non_null(strstr(err.text, "cannot read the file"));
	(void)fclose(stream);
	test_free(log);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_grammar_is_stunnels),
		cmocka_unit_test(a_file_may_end_anywhere),
		cmocka_unit_test(a_nul_byte_spoils_its_line_only),
		cmocka_unit_test(a_line_of_almost_sixteen_kilobytes_arrives_whole),
		cmocka_unit_test(a_longer_line_is_an_error_and_the_next_is_read),
		cmocka_unit_test(a_long_section_name_is_not_cut),
		cmocka_unit_test(a_long_name_of_an_option_is_an_error),
		cmocka_unit_test(a_directory_cannot_be_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
