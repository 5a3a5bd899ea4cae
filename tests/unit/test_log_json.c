#include "base/log_json.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A library reads what our few lines write. */
static json_t *
parse(const struct log_json_line *line, size_t size)
{
	char text[LOG_JSON_SIZE];
	json_error_t error;
	json_t *object = json_loads(log_json_format(line, text, size), JSON_REJECT_DUPLICATES,
				    &error);

	assert_true(strlen(text) < size);
	assert_null(strchr(text, '\n'));
	if (object == NULL)
		fail_msg("%s: %s", error.text, text);
	return object;
}

static const char *
get(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void
a_line_has_what_is_known(void **state ATTR_UNUSED)
{
	const struct log_facts facts = {
		.service = "redis",
		.peer = "127.0.0.1:1",
		.endpoint = "h:6379",
		.server = "10.0.0.1:6379",
		.security = "TLSv1.3",
		.has_bytes = true,
		.bytes_to_server = 14,
		.bytes_to_client = UINT64_C(5000000000),
		.connect_us = 12345,
		.open_us = 2500000,
	};
	const struct log_json_line line = {
		.when = {1794225600, 123456789},
		.level = LOG_LEVEL_NOTICE,
		.id = "12",
		.message = "closed",
		.facts = &facts,
		.repeated = 41,
	};
	json_t *object = parse(&line, LOG_JSON_SIZE);

	assert_string_equal(get(object, "time"), "2026-11-09T12:00:00.123Z");
	assert_string_equal(get(object, "level"), "notice");
	assert_string_equal(get(object, "id"), "12");
	assert_string_equal(get(object, "service"), "redis");
	assert_string_equal(get(object, "peer"), "127.0.0.1:1");
	assert_string_equal(get(object, "endpoint"), "h:6379");
	assert_string_equal(get(object, "server"), "10.0.0.1:6379");
	assert_string_equal(get(object, "security"), "TLSv1.3");
	assert_string_equal(get(object, "message"), "closed");
	assert_int_equal(json_integer_value(json_object_get(object, "bytes_to_server")), 14);
	assert_true(json_integer_value(json_object_get(object, "bytes_to_client")) == 5000000000);
	assert_int_equal(json_integer_value(json_object_get(object, "repeated")), 41);
	assert_true(json_number_value(json_object_get(object, "connect_ms")) == 12.3);
	assert_true(json_number_value(json_object_get(object, "open_s")) == 2.5);
	json_decref(object);
}

static void
what_is_not_known_is_left_out(void **state ATTR_UNUSED)
{
	const struct log_json_line line = {.level = LOG_LEVEL_ERROR, .id = "main", .message = "x"};
	json_t *object = parse(&line, LOG_JSON_SIZE);

	assert_int_equal(json_object_size(object), 4);
	json_decref(object);
}

static void
hostile_text_stays_one_string(void **state ATTR_UNUSED)
{
	const struct log_facts facts = {.service = "\"},{\"x\":\"\\", .peer = "\n\x1b[2J\xff"};
	const struct log_json_line line = {
		.level = LOG_LEVEL_ERROR, .id = "\\", .message = "\"\\\"\t", .facts = &facts};
	json_t *object = parse(&line, LOG_JSON_SIZE);

	assert_string_equal(get(object, "service"), "\"},{\"x\":\"\\");
	assert_string_equal(get(object, "peer"), "..[2J.");
	assert_string_equal(get(object, "id"), "\\");
	assert_string_equal(get(object, "message"), "\"\\\".");
	json_decref(object);
}

static void
what_does_not_fit_leaves_an_object_all_the_same(void **state ATTR_UNUSED)
{
	char quotes[LOG_TEXT_SIZE];
	const struct log_facts facts = {
		.service = "a service", .peer = quotes, .has_bytes = true, .open_us = 1};
	const struct log_json_line line = {
		.level = LOG_LEVEL_ERROR, .id = "1", .message = quotes, .facts = &facts};

	memset(quotes, '"', sizeof quotes);
	quotes[sizeof quotes - 1] = '\0';
	for (size_t size = 128; size < 4 * LOG_TEXT_SIZE; size++)
		json_decref(parse(&line, size));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_what_is_known),
		cmocka_unit_test(what_is_not_known_is_left_out),
		cmocka_unit_test(hostile_text_stays_one_string),
		cmocka_unit_test(what_does_not_fit_leaves_an_object_all_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
