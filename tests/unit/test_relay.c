#include "tunnel/relay.h"

#include "base/buffer.h"
#include "scripted_stream.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SMALL_SCRATCH = 8, LARGE_SCRATCH = 1024 };

/* One relay between two scripted streams, run until the loop has nothing more to do. */
struct bench {
	struct event_base *base;
	struct stream *client;
	struct stream *server;
	struct relay *relay;
	unsigned char bytes[LARGE_SCRATCH];
	struct scratch scratch;
	struct relay_settings settings;
	bool is_over;
	enum relay_end how;
	struct err err;
	int inspections;
};

static void
on_end(void *arg, enum relay_end how, const struct err *err)
{
	struct bench *bench = arg;

	assert_false(bench->is_over);
	bench->is_over = true;
	bench->how = how;
	bench->err = *err;
}

static struct bench
bench_new(const char *client_reads, const char *client_writes, const char *server_reads,
	  const char *server_writes)
{
	struct bench bench = {.base = event_base_new()};

	bench.client = scripted_stream_new(bench.base, client_reads, client_writes);
	bench.server = scripted_stream_new(bench.base, server_reads, server_writes);
	bench.settings.close_s = 1;
	return bench;
}

static void
bench_run(struct bench *bench, const char *early_text)
{
	struct buffer early;

	buffer_init(&early);
	assert_true(buffer_append(&early, early_text, strlen(early_text)));
	if (bench->scratch.size == 0)
		bench->scratch.size = LARGE_SCRATCH;
	bench->scratch.bytes = bench->bytes;
	bench->settings.base = bench->base;
	bench->settings.scratch = &bench->scratch;
	bench->settings.on_end = on_end;
	bench->settings.arg = bench;
	bench->relay = relay_new(bench->client, bench->server, &bench->settings, &early);
	assert_non_null(bench->relay);
	assert_int_equal(buffer_length(&early), 0);
	/* A pending timer would be waited for: only tests of time-outs want that. */
	assert_true(event_base_loop(bench->base, EVLOOP_NONBLOCK) >= 0);
	for (int turn = 0; turn < 10000 && !bench->is_over; turn++)
		assert_true(event_base_loop(bench->base, EVLOOP_NONBLOCK) >= 0);
}

static void
bench_done(struct bench *bench)
{
	relay_free(bench->relay);
	stream_free(bench->server);
	stream_free(bench->client);
	event_base_free(bench->base);
}

static void
bytes_go_both_ways(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("data:PING", "", "data:PONG", "");

	bench_run(&bench, "");

	assert_string_equal(scripted_stream_written(bench.server), "PING");
	assert_string_equal(scripted_stream_written(bench.client), "PONG");
	assert_int_equal(relay_bytes_to_server(bench.relay), 4);
	assert_int_equal(relay_bytes_to_client(bench.relay), 4);
	assert_false(bench.is_over);
	bench_done(&bench);
}

static void
early_bytes_go_first(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("data:second", "", "", "again take:2 again");

	bench_run(&bench, "first-");

	assert_string_equal(scripted_stream_written(bench.server), "first-second");
	bench_done(&bench);
}

static void
end_of_file_is_passed_on_only_after_the_pending_bytes(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("data:PING eof", "", "", "take:1 again again take:2");

	bench_run(&bench, "");

	assert_string_equal(scripted_stream_written(bench.server), "PING");
	assert_int_equal(scripted_stream_shutdown_after(bench.server), 4);
	assert_false(bench.is_over);
	bench_done(&bench);
}

static void
replies_still_arrive_after_the_client_has_ended(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("data:PING eof", "take:1 again", "again data:PONG eof", "");

	bench_run(&bench, "");

	assert_string_equal(scripted_stream_written(bench.client), "PONG");
	assert_int_equal(scripted_stream_shutdown_after(bench.client), 4);
	assert_true(bench.is_over);
	assert_int_equal(bench.how, RELAY_CLIENT_ENDED);
	bench_done(&bench);
}

static void
nothing_is_read_while_bytes_are_pending(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("data:one data:two", "", "", "again again again again");

	bench_run(&bench, "");
	assert_string_equal(scripted_stream_written(bench.server), "onetwo");
	bench_done(&bench);

	bench = bench_new("data:one data:two", "", "", "take:1 again failed");
	bench_run(&bench, "");
	assert_string_equal(scripted_stream_written(bench.server), "o");
	bench_done(&bench);
}

static void
bytes_inside_a_stream_are_read_without_an_event(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("", "", "more:a more:b more:c data:d again", "");

	bench_run(&bench, "");

	assert_string_equal(scripted_stream_written(bench.client), "abcd");
	bench_done(&bench);
}

static void
a_long_run_of_bytes_inside_pauses_for_others_and_goes_on(void **state ATTR_UNUSED)
{
	char script[40 * 8 + 1] = "";
	struct bench bench;

	for (int i = 0; i < 40; i++)
		strcat(script, "more:x ");
	script[strlen(script) - 1] = '\0';
	bench = bench_new("", "", script, "");
	bench_run(&bench, "");

	assert_int_equal(strlen(scripted_stream_written(bench.client)), 40);
	bench_done(&bench);
}

static void
a_reset_of_either_side_ends_the_relay(void **state ATTR_UNUSED)
{
	static const struct {
		const char *client;
		const char *server;
		enum relay_end how;
	} cases[] = {
		{"reset", "", RELAY_CLIENT_RESET},
		{"", "reset", RELAY_SERVER_RESET},
		{"failed", "", RELAY_CLIENT_FAILED},
		{"", "failed", RELAY_SERVER_FAILED},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct bench bench = bench_new(cases[i].client, "", cases[i].server, "");
		bench_run(&bench, "");
		assert_true(bench.is_over);
		assert_int_equal(bench.how, cases[i].how);
		assert_string_equal(bench.err.text, "as scripted");
		assert_int_equal(scripted_stream_interest(bench.client), 0);
		assert_int_equal(scripted_stream_interest(bench.server), 0);
		bench_done(&bench);
	}
}

static void
errors_at_every_byte_lose_nothing_that_came_before(void **state ATTR_UNUSED)
{

	for (size_t n = 1; n <= 10; n++) {
		char reads[32];
		struct bench bench;

		(void)snprintf(reads, sizeof reads, "data:%.*s reset", (int)n, "0123456789");
		bench = bench_new("", "take:3 again take:1", reads, "");
		bench.scratch.size = SMALL_SCRATCH;
		bench_run(&bench, "");
		assert_true(bench.is_over);
		assert_int_equal(bench.how, RELAY_SERVER_RESET);
		assert_int_equal(strlen(scripted_stream_written(bench.client)), n);
		bench_done(&bench);
	}
}

static void
the_servers_last_words_reach_a_client_that_still_writes(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("data:more data:more eof", "", "again data:-ERR reset",
				       "take:3 reset");

	bench_run(&bench, "SET-first");

	assert_string_equal(scripted_stream_written(bench.client), "-ERR");
	assert_int_equal(scripted_stream_shutdown_after(bench.client), 4);
	assert_true(bench.is_over);
	assert_int_equal(bench.how, RELAY_SERVER_ENDED);
	bench_done(&bench);
}

static void
a_client_that_takes_no_more_ends_the_relay(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("", "take:1 reset", "data:PONG", "");

	bench_run(&bench, "");

	assert_true(bench.is_over);
	assert_int_equal(bench.how, RELAY_CLIENT_RESET);
	bench_done(&bench);
}

static void
without_waiting_the_first_end_is_the_end(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("data:PING eof", "", "", "again");

	bench.settings.close_s = 0;
	bench_run(&bench, "");

	assert_string_equal(scripted_stream_written(bench.server), "PING");
	assert_int_equal(scripted_stream_shutdown_after(bench.server), 4);
	assert_true(bench.is_over);
	assert_int_equal(bench.how, RELAY_CLIENT_ENDED);
	bench_done(&bench);
}

static void
run_until_over(struct bench *bench)
{
	while (!bench->is_over)
		assert_true(event_base_loop(bench->base, EVLOOP_ONCE) >= 0);
}

static void
a_quiet_other_side_is_waited_for_as_long_as_close_s_says(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("eof", "", "", "");

	bench.settings.close_s = 1;
	bench_run(&bench, "");
	assert_false(bench.is_over);
	run_until_over(&bench);

	assert_int_equal(bench.how, RELAY_CLIENT_ENDED);
	assert_non_null(strstr(bench.err.text, "TIMEOUTclose"));
	bench_done(&bench);
}

static void
last_bytes_that_nobody_takes_are_waited_for_as_long_as_last_s_says(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("again again again eof", "full", "data:LAST", "");

	bench.settings.close_s = 0;
	bench.settings.last_s = 1;
	bench_run(&bench, "");
	assert_false(bench.is_over);
	run_until_over(&bench);

	assert_int_equal(bench.how, RELAY_CLIENT_ENDED);
	bench_done(&bench);
}

static void
silence_ends_the_relay_only_where_idle_s_says_so(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("data:PING", "", "", "");

	bench_run(&bench, "");
	assert_false(bench.is_over);
	assert_int_equal(event_base_get_num_events(bench.base, EVENT_BASE_COUNT_ADDED), 0);
	bench_done(&bench);

	bench = bench_new("data:PING", "", "", "");
	bench.settings.idle_s = 1;
	bench_run(&bench, "");
	run_until_over(&bench);
	assert_int_equal(bench.how, RELAY_IDLE);
	bench_done(&bench);
}

static bool
refuse(void *arg, const unsigned char *bytes, size_t length, struct err *err)
{
	struct bench *bench = arg;

	bench->inspections++;
	if (length == 4 && memcmp(bytes, "PING", 4) == 0)
		return true;
	return err_set(err, "not a ping");
}

static void
only_the_first_bytes_are_inspected(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("data:PING data:other", "", "data:x", "");

	bench.settings.inspect = refuse;
	bench_run(&bench, "");

	assert_int_equal(bench.inspections, 1);
	assert_string_equal(scripted_stream_written(bench.server), "PINGother");
	bench_done(&bench);
}

static void
refused_bytes_never_reach_the_server(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("data:other", "", "", "");

	bench.settings.inspect = refuse;
	bench_run(&bench, "");

	assert_true(bench.is_over);
	assert_int_equal(bench.how, RELAY_REFUSED);
	assert_string_equal(bench.err.text, "not a ping");
	assert_string_equal(scripted_stream_written(bench.server), "");
	bench_done(&bench);
}

static void
freeing_a_relay_in_any_state_is_silent(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("data:PING", "", "more:a more:b", "again again");

	bench_run(&bench, "early");
	relay_free(bench.relay);
	bench.relay = NULL;
	assert_true(event_base_loop(bench.base, EVLOOP_NONBLOCK) >= 0);

	assert_false(bench.is_over);
	assert_int_equal(scripted_stream_interest(bench.client), 0);
	bench_done(&bench);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_go_both_ways),
		cmocka_unit_test(early_bytes_go_first),
		cmocka_unit_test(end_of_file_is_passed_on_only_after_the_pending_bytes),
		cmocka_unit_test(replies_still_arrive_after_the_client_has_ended),
		cmocka_unit_test(nothing_is_read_while_bytes_are_pending),
		cmocka_unit_test(bytes_inside_a_stream_are_read_without_an_event),
		cmocka_unit_test(a_long_run_of_bytes_inside_pauses_for_others_and_goes_on),
		cmocka_unit_test(a_reset_of_either_side_ends_the_relay),
		cmocka_unit_test(errors_at_every_byte_lose_nothing_that_came_before),
		cmocka_unit_test(the_servers_last_words_reach_a_client_that_still_writes),
		cmocka_unit_test(a_client_that_takes_no_more_ends_the_relay),
		cmocka_unit_test(without_waiting_the_first_end_is_the_end),
		cmocka_unit_test(a_quiet_other_side_is_waited_for_as_long_as_close_s_says),
		cmocka_unit_test(
			last_bytes_that_nobody_takes_are_waited_for_as_long_as_last_s_says),
		cmocka_unit_test(silence_ends_the_relay_only_where_idle_s_says_so),
		cmocka_unit_test(only_the_first_bytes_are_inspected),
		cmocka_unit_test(refused_bytes_never_reach_the_server),
		cmocka_unit_test(freeing_a_relay_in_any_state_is_silent),
	};

	return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
