#include "control/http_server.h"

#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* Many clients of one server, which answers when it is told to. */

enum { MOST_WAITING = 64, CLIENTS = 200 };

struct crowd {
	struct event_base *base;
	struct http_server *server;
	struct sockaddr_un address;
	socklen_t address_length;
	struct http_exchange *waiting[CLIENTS];
	size_t waiting_count;
};

static void
on_request(void *arg, struct http_exchange *exchange)
{
	struct crowd *crowd = arg;

	assert_true(crowd->waiting_count < CLIENTS);
	crowd->waiting[crowd->waiting_count++] = exchange;
}

/* The server listens on an address that the kernel chooses among those without a file. */
static void
begin(struct crowd *crowd)
{
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	*crowd = (struct crowd){.address = {.sun_family = AF_UNIX}, .base = event_base_new()};
	crowd->address_length = sizeof crowd->address.sun_family;
	assert_int_equal(bind(listener, (struct sockaddr *)&crowd->address, crowd->address_length),
			 0);
	assert_int_equal(listen(listener, CLIENTS), 0);
	assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
	crowd->address_length = sizeof crowd->address;
	assert_int_equal(
		getsockname(listener, (struct sockaddr *)&crowd->address, &crowd->address_length),
		0);
	crowd->server = http_server_start(&(struct http_server_settings){
		.base = crowd->base, .fd = listener, .on_request = on_request, .arg = crowd});
	assert_non_null(crowd->server);
}

static void
end(struct crowd *crowd)
{
	http_server_close(crowd->server);
	/* libevent puts some of its clean-up off */
	(void)event_base_loop(crowd->base, EVLOOP_NONBLOCK);
	event_base_free(crowd->base);
}

/* All that is there is accepted, read, answered and closed. */
static void
run(struct crowd *crowd)
{
	for (int turn = 0; turn < CLIENTS; turn++)
		assert_true(event_base_loop(crowd->base, EVLOOP_NONBLOCK) >= 0);
}

static int
join(const struct crowd *crowd, const char *said)
{
	int client = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(
		connect(client, (const struct sockaddr *)&crowd->address, crowd->address_length),
		0);
	assert_int_equal(fcntl(client, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(send(client, said, strlen(said), MSG_NOSIGNAL), strlen(said));
	return client;
}

/* The status of what `client` was told so far: "503", and "" for nothing. */
static const char *
status_told(int client)
{
	static char reply[4096];
	ssize_t count = recv(client, reply, sizeof reply - 1, 0);

	reply[count > 0 ? count : 0] = '\0';
	if (count <= 0)
		return "";
	assert_memory_equal(reply, "HTTP/1.1 ", 9);
	reply[12] = '\0';
	return reply + 9;
}

static const char question[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

static void
test_few_may_wait_for_an_answer(void **state)
{
	struct crowd crowd;
	int clients[MOST_WAITING];

	(void)state;
	begin(&crowd);
	for (size_t i = 0; i < MOST_WAITING; i++)
		clients[i] = join(&crowd, question);
	run(&crowd);
	assert_int_equal(crowd.waiting_count, MOST_WAITING);
	int one_more = join(&crowd, question);
	run(&crowd);
	assert_int_equal(crowd.waiting_count, MOST_WAITING);
	assert_string_equal(status_told(one_more), "503");
	for (size_t i = 0; i < MOST_WAITING; i++)
		http_reply_text(crowd.waiting[i], 200, "yes");
	run(&crowd);
	for (size_t i = 0; i < MOST_WAITING; i++) {
		assert_string_equal(status_told(clients[i]), "200");
		(void)close(clients[i]);
	}
	(void)close(one_more);
	/* And there is room again. */
	one_more = join(&crowd, question);
	run(&crowd);
	assert_int_equal(crowd.waiting_count, MOST_WAITING + 1);
	http_reply_text(crowd.waiting[MOST_WAITING], 200, "yes");
	run(&crowd);
	assert_string_equal(status_told(one_more), "200");
	(void)close(one_more);
	end(&crowd);
}

static void
test_who_waits_is_not_cut_off_for_the_silent(void **state)
{
	struct crowd crowd;
	int silent[CLIENTS];

	(void)state;
	begin(&crowd);
	int client = join(&crowd, question);
	run(&crowd);
	assert_int_equal(crowd.waiting_count, 1);
	for (size_t i = 0; i < CLIENTS; i++) {
		silent[i] = join(&crowd, "");
		run(&crowd);
	}
	http_reply_text(crowd.waiting[0], 200, "yes");
	run(&crowd);
	assert_string_equal(status_told(client), "200");
	for (size_t i = 0; i < CLIENTS; i++)
		(void)close(silent[i]);
	(void)close(client);
	end(&crowd);
}

static void
test_who_waits_is_told_of_the_end(void **state)
{
	struct crowd crowd;

	(void)state;
	begin(&crowd);
	int waiting = join(&crowd, question);
	int answered = join(&crowd, question);
	run(&crowd);
	assert_int_equal(crowd.waiting_count, 2);
	http_reply_text(crowd.waiting[1], 200, "yes");
	end(&crowd);
	assert_string_equal(status_told(waiting), "503");
	assert_string_equal(status_told(answered), "200");
	(void)close(waiting);
	(void)close(answered);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few_may_wait_for_an_answer),
		cmocka_unit_test(test_who_waits_is_not_cut_off_for_the_silent),
		cmocka_unit_test(test_who_waits_is_told_of_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
