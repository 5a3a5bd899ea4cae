#include "agent_bench.h"
#include "base/buffer.h"
#include "ssh/wire.h"

#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* An agent that does as it is told: one connection after the other until it is stopped. */
struct fake {
	pthread_t thread;
	int listener;
	char path[PATH_SIZE];
	unsigned char reply[REPLY_SIZE];
	size_t length;
	size_t at_once;  /* bytes that one send takes */
	bool stays_open; /* after the reply, until the client closes */
	bool is_deaf;    /* closes before it reads all */
};

static void
wait_readable(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	(void)poll(&wait, 1, TIMEOUT_S * 1000);
}

/* False at the client's end. */
static bool
read_request(int fd)
{
	unsigned char header[4];
	unsigned char rest[REPLY_SIZE];
	struct wire_span span = {header, sizeof header};
	uint32_t length;

	if (recv(fd, header, sizeof header, MSG_WAITALL) != sizeof header)
		return false;
	if (!wire_read_u32(&span, &length) || length > sizeof rest)
		return false;
	return recv(fd, rest, length, MSG_WAITALL) == (ssize_t)length;
}

static void
serve(const struct fake *fake, int fd)
{
	unsigned char byte;

	if (!fake->is_deaf && !read_request(fd))
		return;
	for (size_t sent = 0; sent < fake->length;) {
		size_t left = fake->length - sent;
		ssize_t count = send(fd, fake->reply + sent,
				     left < fake->at_once ? left : fake->at_once, 0);
		if (count <= 0)
			return;
		sent += (size_t)count;
	}
	while (fake->stays_open && recv(fd, &byte, 1, 0) > 0)
		continue;
}

static void *
run_fake(void *arg)
{
	const struct fake *fake = arg;

	for (;;) {
		wait_readable(fake->listener);
		int fd = accept(fake->listener, NULL, NULL);
		if (fd < 0)
			return NULL;
		serve(fake, fd);
		(void)close(fd);
	}
}

static void
fake_listen(struct fake *fake, int backlog)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	agent_bench_path(fake->path, "fake");
	(void)unlink(fake->path);
	memcpy(address.sun_path, fake->path, strlen(fake->path) + 1);
	fake->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fake->listener, backlog), 0);
}

static void
fake_start(struct fake *fake, const void *reply, size_t length)
{
	assert_true(length <= sizeof fake->reply);
	memcpy(fake->reply, reply, length);
	fake->length = length;
	if (fake->at_once == 0)
		fake->at_once = REPLY_SIZE;
	fake_listen(fake, 8);
	assert_int_equal(pthread_create(&fake->thread, NULL, run_fake, fake), 0);
}

static void
fake_stop(struct fake *fake)
{
	(void)shutdown(fake->listener, SHUT_RDWR); /* accept() fails */
	assert_int_equal(pthread_join(fake->thread, NULL), 0);
	(void)close(fake->listener);
}

/* Header, kind, and `content`, as one message. */
static struct buffer
make_message(unsigned char kind, struct buffer content)
{
	struct buffer message;

	buffer_init(&message);
	assert_true(wire_append_u32(&message, (uint32_t)buffer_length(&content) + 1));
	assert_true(buffer_append(&message, &kind, 1));
	if (buffer_length(&content) > 0)
		assert_true(
			buffer_append(&message, buffer_head(&content), buffer_length(&content)));
	buffer_done(&content);
	return message;
}

/* `count` keys, all alike; `claimed` is what the message says. */
static struct buffer
make_list(uint32_t count, uint32_t claimed)
{
	static const char comment[] = "a\0b\033c";
	struct buffer content;
	struct buffer blob;

	buffer_init(&content);
	buffer_init(&blob);
	assert_true(wire_append_text(&blob, "ssh-test"));
	assert_true(wire_append_u32(&content, claimed));
	for (uint32_t i = 0; i < count; i++) {
		assert_true(wire_append_string(&content, buffer_head(&blob), buffer_length(&blob)));
		assert_true(wire_append_string(&content, comment, sizeof comment - 1));
	}
	buffer_done(&blob);
	return make_message(12, content);
}

static struct buffer
make_signature(const char *algorithm)
{
	struct buffer content;
	struct buffer inside;

	buffer_init(&content);
	buffer_init(&inside);
	assert_true(wire_append_text(&inside, algorithm));
	assert_true(wire_append_text(&inside, "signature"));
	assert_true(wire_append_string(&content, buffer_head(&inside), buffer_length(&inside)));
	buffer_done(&inside);
	return make_message(14, content);
}

static void
answers_in_small_pieces_are_put_together(void **state ATTR_UNUSED)
{
	struct fake fake = {.at_once = 1, .stays_open = true};
	struct buffer reply = make_list(3, 3);

	fake_start(&fake, buffer_head(&reply), buffer_length(&reply));
	struct agent_bench bench = agent_bench_new(fake.path);
	assert_true(agent_bench_list(&bench, TIMEOUT_S));
	assert_int_equal(bench.count, 3);
	assert_int_equal(bench.identities[2].length, 12);
	assert_memory_equal(bench.identities[2].blob + 4, "ssh-test", 8);
	assert_string_equal(bench.identities[2].comment, "a.b.c");
	agent_bench_done(&bench);
	fake_stop(&fake);
	buffer_done(&reply);
}

static void
keys_beyond_the_limit_are_passed_over(void **state ATTR_UNUSED)
{
	struct fake fake = {0};
	struct buffer reply = make_list(100, 100);

	fake_start(&fake, buffer_head(&reply), buffer_length(&reply));
	struct agent_bench bench = agent_bench_new(fake.path);
	assert_true(agent_bench_list(&bench, TIMEOUT_S));
	assert_int_equal(bench.count, 64);
	agent_bench_done(&bench);
	fake_stop(&fake);
	buffer_done(&reply);
}

static void
assert_list_fails(const void *reply, size_t length, const char *expected)
{
	struct fake fake = {0};

	fake_start(&fake, reply, length);
	struct agent_bench bench = agent_bench_new(fake.path);
	assert_false(agent_bench_list(&bench, TIMEOUT_S));
	if (strstr(bench.err.text, expected) == NULL)
		fail_msg("'%s' is not in '%s'", expected, bench.err.text);
	assert_non_null(strstr(bench.err.text, fake.path));
	agent_bench_done(&bench);
	fake_stop(&fake);
}

static void
garbage_is_told_from_a_list(void **state ATTR_UNUSED)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *expected;
	} cases[] = {
		{"SSH-2.0-OpenSSH_9.2\r\n", 21, "is it an SSH agent?"},
		{"\0\0\0\0", 4, "empty"},
		{"\xff\xff\xff\xff", 4, "too long"},
		{"\0\4\0\1", 4, "too long"},
		{"\0\0\0\1\5", 5, "refused to list"},
		{"\0\0\0\1\36", 5, "refused to list"},
		{"\0\0\0\1\146", 5, "refused to list"},
		{"\0\0\0\1\16", 5, "kind 14"},
		{"\0\0\0\1\14", 5, "does not add up"},
		{"\0\0\0\5\14\0\0\0\1", 9, "does not add up"},
		{"\0\0\0\5\14\xff\xff\xff\xff", 9, "does not add up"},
		{"\0\0\0\15\14\0\0\0\1\0\0\0\0\0\0\0\0", 17, "does not add up"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		assert_list_fails(cases[i].bytes, cases[i].length, cases[i].expected);
}

static void
an_end_at_any_byte_is_an_error(void **state ATTR_UNUSED)
{
	struct buffer reply = make_list(2, 2);

	for (size_t length = 0; length < buffer_length(&reply); length++)
		assert_list_fails(buffer_head(&reply), length, "closed the connection");
	buffer_done(&reply);
	reply = make_list(2, 3);
	assert_list_fails(buffer_head(&reply), buffer_length(&reply), "does not add up");
	buffer_done(&reply);
}

/* Whatever a changed byte makes of a list: it is a list or an error, and soon. */
static void
any_changed_byte_is_survived(void **state ATTR_UNUSED)
{
	static const unsigned char changes[] = {0x00, 0x01, 0x7f, 0xff};
	struct buffer reply = make_list(2, 2);

	for (size_t i = 0; i < buffer_length(&reply); i++) {
		for (size_t j = 0; j < sizeof changes; j++) {
			struct fake fake = {0};
			unsigned char kept = reply.data[i];
			reply.data[i] = changes[j];
			fake_start(&fake, buffer_head(&reply), buffer_length(&reply));
			struct agent_bench bench = agent_bench_new(fake.path);
			(void)agent_bench_list(&bench, TIMEOUT_S);
			agent_bench_done(&bench);
			fake_stop(&fake);
			reply.data[i] = kept;
		}
	}
	buffer_done(&reply);
}

/* Signs with the one key of a list, at an agent that answers this. */
static void
sign_with(struct agent_bench *bench, struct buffer answer, unsigned flags)
{
	struct buffer keys = make_list(1, 1);
	struct fake fake = {0};

	fake_start(&fake, buffer_head(&keys), buffer_length(&keys));
	*bench = agent_bench_new(fake.path);
	assert_true(agent_bench_list(bench, TIMEOUT_S));
	fake_stop(&fake);

	fake_start(&fake, buffer_head(&answer), buffer_length(&answer));
	(void)agent_bench_sign(bench, 0, "data", flags);
	fake_stop(&fake);
	agent_bench_done(bench);
	buffer_done(&keys);
	buffer_done(&answer);
}

static void
signatures_are_checked(void **state ATTR_UNUSED)
{
	static const char no_strings[] = "\0\0\0\0\0\0\0\0";
	struct buffer content;
	struct agent_bench bench;

	sign_with(&bench, make_signature("ssh-test"), AGENT_SIGN_RSA_SHA2_256);
	assert_true(bench.is_done);
	assert_int_equal(bench.signature_length, 4 + 8 + 4 + 9);

	sign_with(&bench, make_signature("ssh-rsa"), 0);
	assert_true(bench.is_done);
	sign_with(&bench, make_signature("ssh-rsa"), AGENT_SIGN_RSA_SHA2_256);
	assert_false(bench.is_done);
	assert_non_null(strstr(bench.err.text, "'rsa-sha2-256' was asked for"));

	sign_with(&bench, make_signature(""), 0);
	assert_false(bench.is_done);

	buffer_init(&content);
	assert_true(wire_append_string(&content, no_strings, 8));
	sign_with(&bench, make_message(14, content), 0);
	assert_false(bench.is_done);
	assert_non_null(strstr(bench.err.text, "a signature that is none"));

	buffer_init(&content);
	sign_with(&bench, make_message(14, content), 0);
	assert_false(bench.is_done);
	sign_with(&bench, make_list(1, 1), 0);
	assert_non_null(strstr(bench.err.text, "kind 12 where 14 was asked for"));
}

static void
too_much_to_sign_is_refused_here(void **state ATTR_UNUSED)
{
	struct buffer keys = make_list(1, 1);
	struct fake fake = {0};
	unsigned char *data = calloc(1, 256 * 1024);

	assert_non_null(data);
	fake_start(&fake, buffer_head(&keys), buffer_length(&keys));
	struct agent_bench bench = agent_bench_new(fake.path);
	assert_true(agent_bench_list(&bench, TIMEOUT_S));
	bench.is_over = false;
	agent_start_sign(bench.agent, 0, data, 256 * 1024, 0, TIMEOUT_S, agent_bench_on_sign,
			 &bench);
	assert_false(agent_bench_finish(&bench));
	assert_non_null(strstr(bench.err.text, "more than an agent signs"));
	agent_bench_done(&bench);
	fake_stop(&fake);
	free(data);
	buffer_done(&keys);
}

/* More than a socket holds, to one who closes without reading. */
static void
an_agent_that_does_not_listen_is_told(void **state ATTR_UNUSED)
{
	struct buffer keys = make_list(1, 1);
	struct fake fake = {0};
	unsigned char *data = calloc(1, 250 * 1024);

	assert_non_null(data);
	fake_start(&fake, buffer_head(&keys), buffer_length(&keys));
	struct agent_bench bench = agent_bench_new(fake.path);
	assert_true(agent_bench_list(&bench, TIMEOUT_S));
	fake_stop(&fake);
	fake.is_deaf = true;
	fake_start(&fake, "", 0);
	bench.is_over = false;
	agent_start_sign(bench.agent, 0, data, 250 * 1024, 0, TIMEOUT_S, agent_bench_on_sign,
			 &bench);
	assert_false(agent_bench_finish(&bench));
	assert_non_null(strstr(bench.err.text, "closed the connection"));
	agent_bench_done(&bench);
	fake_stop(&fake);
	free(data);
	buffer_done(&keys);
}

static void
silence_is_given_up(void **state ATTR_UNUSED)
{
	struct fake fake = {.stays_open = true};

	fake_start(&fake, "\0\0\0", 3);
	struct agent_bench bench = agent_bench_new(fake.path);
	assert_false(agent_bench_list(&bench, 1));
	assert_non_null(strstr(bench.err.text, "within 1 s"));
	agent_bench_done(&bench);
	fake_stop(&fake);
}

static void
a_full_queue_is_waited_for(void **state ATTR_UNUSED)
{
	struct fake fake = {.at_once = REPLY_SIZE};
	struct buffer reply = make_list(1, 1);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int waiting[8];
	size_t count = 0;

	fake_listen(&fake, 0);
	memcpy(fake.reply, buffer_head(&reply), buffer_length(&reply));
	fake.length = buffer_length(&reply);
	memcpy(address.sun_path, fake.path, strlen(fake.path) + 1);
	for (bool is_full = false; !is_full && count < ARRAY_LENGTH(waiting); count++) {
		waiting[count] = socket(AF_UNIX, SOCK_STREAM, 0);
		(void)fcntl(waiting[count], F_SETFL, O_NONBLOCK);
		is_full = connect(waiting[count], (struct sockaddr *)&address, sizeof address) != 0;
	}
	struct agent_bench bench = agent_bench_new(fake.path);
	agent_start_list(bench.agent, TIMEOUT_S, agent_bench_on_list, &bench);
	(void)event_base_loop(bench.base, EVLOOP_NONBLOCK);
	while (count > 0)
		(void)close(waiting[--count]);
	assert_int_equal(pthread_create(&fake.thread, NULL, run_fake, &fake), 0);
	assert_true(agent_bench_finish(&bench));
	agent_bench_done(&bench);
	fake_stop(&fake);
	buffer_done(&reply);
}

static void
a_cancelled_request_is_silent(void **state ATTR_UNUSED)
{
	struct buffer reply = make_list(1, 1);
	struct fake fake = {0};

	fake_start(&fake, buffer_head(&reply), buffer_length(&reply));
	for (int turns = 0; turns < 4; turns++) {
		struct agent_bench bench = agent_bench_new(fake.path);
		agent_start_list(bench.agent, TIMEOUT_S, agent_bench_on_list, &bench);
		assert_false(bench.is_over); /* never from inside a start */
		for (int i = 0; i < turns && !bench.is_over; i++)
			(void)event_base_loop(bench.base, EVLOOP_NONBLOCK);
		bench.is_over = false;
		agent_start_list(bench.agent, TIMEOUT_S, agent_bench_on_list,
				 &bench); /* in its place */
		assert_true(agent_bench_finish(&bench));
		bench.is_over = false;
		agent_start_list(bench.agent, TIMEOUT_S, agent_bench_on_list, &bench);
		agent_free(bench.agent);
		(void)event_base_loop(bench.base, EVLOOP_NONBLOCK);
		assert_false(bench.is_over);
		bench.agent = NULL;
		agent_bench_done(&bench);
	}
	fake_stop(&fake);
	buffer_done(&reply);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_in_small_pieces_are_put_together),
		cmocka_unit_test(keys_beyond_the_limit_are_passed_over),
		cmocka_unit_test(garbage_is_told_from_a_list),
		cmocka_unit_test(an_end_at_any_byte_is_an_error),
		cmocka_unit_test(any_changed_byte_is_survived),
		cmocka_unit_test(signatures_are_checked),
		cmocka_unit_test(too_much_to_sign_is_refused_here),
		cmocka_unit_test(an_agent_that_does_not_listen_is_told),
		cmocka_unit_test(silence_is_given_up),
		cmocka_unit_test(a_full_queue_is_waited_for),
		cmocka_unit_test(a_cancelled_request_is_silent),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	(void)alarm(TIMEOUT_S * 6); /* a test that hangs ends here */
	return cmocka_run_group_tests_name("hostile_agent", tests, agent_bench_make_folder,
					   agent_bench_remove_folder);
}
