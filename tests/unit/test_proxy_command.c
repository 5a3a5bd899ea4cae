#include "ssh/proxy_command.h"

#include "base/clock.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_S = 20, TEXT_SIZE = 8192 };

static const struct log_scope scope = {.level = LOG_LEVEL_DEBUG, .id = "test"};

/* One command with its event loop. What it logs goes to standard error, which is a file
 * meanwhile. */
struct bench {
	struct event_base *base;
	struct proxy_command *proxy;
	int fd;
	int real_stderr;
	FILE *log;
	bool is_over; /* the handler was told */
	char outcome[TEXT_SIZE];
};

static struct bench
bench_new(const char *command)
{
	struct bench bench = {.base = event_base_new(), .fd = -1};
	struct err err;

	assert_non_null(bench.base);
	bench.log = tmpfile();
	assert_non_null(bench.log);
	bench.real_stderr = dup(STDERR_FILENO);
	assert_true(dup2(fileno(bench.log), STDERR_FILENO) >= 0);
	bench.proxy = proxy_command_start(bench.base, command, &scope, &bench.fd, &err);
	assert_non_null(bench.proxy);
	return bench;
}

static void
no_child_is_left(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* Stops the command if that was not done, and lets what is left of it go from the loop. */
static void
bench_done(struct bench *bench)
{
	proxy_command_stop(bench->proxy);
	if (bench->fd >= 0)
		(void)close(bench->fd);
	assert_true(event_base_dispatch(bench->base) >= 0); /* until no event is left */
	event_base_free(bench->base);
	(void)dup2(bench->real_stderr, STDERR_FILENO);
	(void)close(bench->real_stderr);
	(void)fclose(bench->log);
	no_child_is_left();
}

static void
read_log(const struct bench *bench, char *out)
{
	ssize_t count = pread(fileno(bench->log), out, TEXT_SIZE - 1, 0);

	assert_true(count >= 0);
	out[count] = '\0';
}

static void
on_end(void *arg, const char *outcome)
{
	struct bench *bench = arg;

	assert_false(bench->is_over);
	bench->is_over = true;
	(void)snprintf(bench->outcome, sizeof bench->outcome, "%s", outcome);
}

static void
wait_for_end(struct bench *bench)
{
	assert_false(bench->is_over);
	proxy_command_set_handler(bench->proxy, on_end, bench);
	assert_false(bench->is_over);
	while (!bench->is_over)
		assert_true(event_base_loop(bench->base, EVLOOP_ONCE) >= 0);
	assert_string_equal(proxy_command_outcome(bench->proxy), bench->outcome);
}

/* Reads until `ending` has come (NULL: end-of-file). */
static void
read_until(int fd, const char *ending, char *out)
{
	size_t length = 0;

	for (;;) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		assert_int_equal(poll(&wait, 1, DEADLINE_S * 1000), 1);
		ssize_t count = read(fd, out + length, TEXT_SIZE - 1 - length);
		assert_true(count >= 0);
		length += (size_t)count;
		out[length] = '\0';
		if (count == 0 || (ending != NULL && strstr(out, ending) != NULL))
			break;
	}
}

static void
sequences_are_replaced(void **state ATTR_UNUSED)
{
	static const struct {
		const char *text;
		const char *host;
		const char *user;
		const char *expected; /* NULL: refused */
	} cases[] = {
		{"nc %h %p", "example.com", "me", "nc example.com 22"},
		{"ssh -W [%h]:%p %r@jump", "::1", "ec2-user", "ssh -W [::1]:22 ec2-user@jump"},
		{"a 100%% %%h", "h", "u", "a 100% %h"},
		{"%h%h", "a", "u", "aa"},
		{"", "h", "u", ""},
		{"%h", "a b;rm -rf $HOME", "u", "'a b;rm -rf $HOME'"},
		{"%r", "h", "o'brien", "'o'\\''brien'"},
		{"%r", "h", "a\nb`c`", "'a\nb`c`'"},
		{"%r", "h", "", "''"},
		{"%h", "-oProxyCommand=x", "u", NULL},
		{"%r", "h", "-l", NULL},
		{"nc %p", "-x", "-x", "nc 22"},
		{"nc %n", "h", "u", NULL},
		{"nc %", "h", "u", NULL},
		{"%", "h", "u", NULL},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct err err = {""};
		char *text = proxy_command_expand(cases[i].text, cases[i].host, 22, cases[i].user,
						  &err);
		if (cases[i].expected != NULL) {
			assert_non_null(text);
			assert_string_equal(text, cases[i].expected);
		} else {
			assert_null(text);
			assert_non_null(strstr(err.text, "proxyCommand"));
		}
		free(text);
	}
}

static void
bytes_go_through_the_child_both_ways(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("cat");
	char text[TEXT_SIZE];

	assert_int_equal(write(bench.fd, "hello\n", 6), 6);
	read_until(bench.fd, "\n", text);
	assert_string_equal(text, "hello\n");
	assert_null(proxy_command_outcome(bench.proxy));

	assert_int_equal(shutdown(bench.fd, SHUT_WR), 0);
	read_until(bench.fd, NULL, text);
	wait_for_end(&bench);
	assert_string_equal(bench.outcome, "exit status 0");
	bench_done(&bench);
}

static void
standard_error_goes_to_the_log_by_lines(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("printf 'one\\r\\n\\n  two\\033[1m\\nend' >&2; exit 3");
	char log[TEXT_SIZE];

	wait_for_end(&bench);

	read_log(&bench, log);
	assert_string_equal(log, "[.] proxyCommand: one\n"
				 "[.] proxyCommand: two.[1m\n"
				 "[.] proxyCommand: end\n");
	assert_string_equal(bench.outcome, "exit status 3: end");
	bench_done(&bench);
}

static void
endless_lines_are_logged_in_pieces(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("head -c 2000 /dev/zero | tr '\\0' x >&2");
	char log[TEXT_SIZE];

	wait_for_end(&bench);

	read_log(&bench, log);
	assert_int_equal(strlen(log), 2000 + 4 * strlen("[.] proxyCommand: \n"));
	bench_done(&bench);
}

static void
failures_are_told_with_the_last_words(void **state ATTR_UNUSED)
{
	static const struct {
		const char *command;
		const char *outcome;
	} cases[] = {
		{"exit 1", "exit status 1"},
		{"echo no such host >&2; exit 255", "exit status 255: no such host"},
		{"kill -9 $$", "killed by signal 9"},
		{"echo help >&2; kill -TERM $$", "killed by signal 15: help"},
		{"exec 2>&-; exit 4", "exit status 4"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct bench bench = bench_new(cases[i].command);
		wait_for_end(&bench);
		assert_string_equal(bench.outcome, cases[i].outcome);
		bench_done(&bench);
	}
}

static void
a_missing_command_is_told(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("/nonexistent/command");

	wait_for_end(&bench);
	assert_non_null(strstr(bench.outcome, "exit status 127: "));
	assert_non_null(strstr(bench.outcome, "not found"));
	bench_done(&bench);
}

/* The handler may be set long after the end, and a child that has ended is no zombie. */
static void
an_end_is_reaped_without_being_asked_for(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("exit 7");

	assert_true(event_base_dispatch(bench.base) >= 0);
	no_child_is_left();
	wait_for_end(&bench);
	assert_string_equal(bench.outcome, "exit status 7");
	bench_done(&bench);
}

static void
a_helper_that_lives_on_does_not_hide_the_end(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("echo last >&2; sleep 1000 & exit 5");
	char text[TEXT_SIZE];

	wait_for_end(&bench);
	assert_string_equal(bench.outcome, "exit status 5: last");
	/* It goes with the child: its end of the socket closes. */
	proxy_command_stop(bench.proxy);
	bench.proxy = NULL;
	read_until(bench.fd, NULL, text);
	bench_done(&bench);
}

static void
stopping_lets_a_child_say_goodbye(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("trap 'echo bye; exit' TERM; echo ready; sleep 1000 & wait");
	char text[TEXT_SIZE];

	read_until(bench.fd, "ready\n", text);
	proxy_command_stop(bench.proxy);
	bench.proxy = NULL;
	read_until(bench.fd, "bye\n", text);
	assert_string_equal(text, "bye\n");
	bench_done(&bench);
}

static void
stopping_at_once_is_fine(void **state ATTR_UNUSED)
{
	for (int i = 0; i < 20; i++) {
		struct bench bench = bench_new("exec cat");
		bench_done(&bench);
	}
}

static void
a_child_that_ignores_sigterm_is_killed(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("trap '' TERM; echo ready; while :; do sleep 1000; done");
	uint64_t before_us;
	char text[TEXT_SIZE];

	read_until(bench.fd, "ready\n", text);
	before_us = clock_now_us();
	proxy_command_set_handler(bench.proxy, on_end, &bench);
	proxy_command_stop(bench.proxy);
	assert_true(clock_now_us() - before_us < 1000000);
	bench.proxy = NULL;
	assert_true(event_base_dispatch(bench.base) >= 0);
	assert_true(clock_now_us() - before_us >= 1000000);
	no_child_is_left();
	read_until(bench.fd, NULL, text);
	assert_false(bench.is_over);
	bench_done(&bench);
}

static void
a_helper_that_ignores_sigterm_is_killed_after_its_parent(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("(trap '' TERM; echo ready; exec sleep 1000) & wait");
	char text[TEXT_SIZE];

	read_until(bench.fd, "ready\n", text);
	proxy_command_stop(bench.proxy);
	bench.proxy = NULL;
	assert_true(event_base_dispatch(bench.base) >= 0);
	read_until(bench.fd, NULL, text);
	bench_done(&bench);
}

static void
what_was_stopped_is_finished_without_the_loop(void **state ATTR_UNUSED)
{
	struct bench bench = bench_new("trap '' TERM; echo ready; while :; do sleep 1000; done");
	struct proxy_command *second;
	struct err err;
	char text[TEXT_SIZE];
	int fd;

	second = proxy_command_start(bench.base, "exec cat", &scope, &fd, &err);
	assert_non_null(second);
	read_until(bench.fd, "ready\n", text);
	proxy_command_stop(bench.proxy);
	proxy_command_stop(second);
	bench.proxy = NULL;
	proxy_command_finish(bench.base);
	no_child_is_left();
	assert_int_equal(event_base_get_num_events(bench.base, EVENT_BASE_COUNT_ADDED), 0);
	proxy_command_finish(bench.base);
	(void)close(fd);
	bench_done(&bench);
}

static void
the_child_gets_no_other_descriptor(void **state ATTR_UNUSED)
{
	char text[TEXT_SIZE];
	int leak;

	if (access("/proc/self/fd", R_OK) != 0)
		skip();
	leak = fcntl(STDOUT_FILENO, F_DUPFD, 57); /* not closed on exec */
	assert_true(leak >= 57);
	struct bench bench = bench_new("exec ls /proc/self/fd");
	read_until(bench.fd, NULL, text);
	assert_string_equal(text, "0\n1\n2\n3\n"); /* the last is the folder itself */
	(void)close(leak);
	bench_done(&bench);
}

static void
the_child_starts_with_default_signals(void **state ATTR_UNUSED)
{
	char text[TEXT_SIZE];
	sigset_t blocked;
	sigset_t before;

	if (access("/proc/self/status", R_OK) != 0)
		skip();
	(void)sigfillset(&blocked);
	(void)pthread_sigmask(SIG_SETMASK, &blocked, &before);
	struct bench bench = bench_new("exec grep -E '^Sig(Blk|Ign)' /proc/self/status");
	read_until(bench.fd, NULL, text);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	unsigned long long blocked_mask = 1;
	unsigned long long ignored_mask = 1;
	assert_int_equal(sscanf(text, "SigBlk:\t%llx\nSigIgn:\t%llx", &blocked_mask, &ignored_mask),
			 2);
	assert_true(blocked_mask == 0);
	/* 32 and 33 are the C library's own; make ignores them, and nobody can change that. */
	assert_true((ignored_mask & ~0x180000000ULL) == 0);
	bench_done(&bench);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequences_are_replaced),
		cmocka_unit_test(bytes_go_through_the_child_both_ways),
		cmocka_unit_test(standard_error_goes_to_the_log_by_lines),
		cmocka_unit_test(endless_lines_are_logged_in_pieces),
		cmocka_unit_test(failures_are_told_with_the_last_words),
		cmocka_unit_test(a_missing_command_is_told),
		cmocka_unit_test(an_end_is_reaped_without_being_asked_for),
		cmocka_unit_test(a_helper_that_lives_on_does_not_hide_the_end),
		cmocka_unit_test(stopping_lets_a_child_say_goodbye),
		cmocka_unit_test(stopping_at_once_is_fine),
		cmocka_unit_test(a_child_that_ignores_sigterm_is_killed),
		cmocka_unit_test(a_helper_that_ignores_sigterm_is_killed_after_its_parent),
		cmocka_unit_test(what_was_stopped_is_finished_without_the_loop),
		cmocka_unit_test(the_child_gets_no_other_descriptor),
		cmocka_unit_test(the_child_starts_with_default_signals),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	(void)alarm(DEADLINE_S * 6); /* a test that hangs ends here */
	return cmocka_run_group_tests_name("proxy_command", tests, NULL, NULL);
}
