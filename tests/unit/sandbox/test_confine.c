#define _GNU_SOURCE /* unshare() */

#include "confine.h"

#include "../config_text.h"
#include "base/text.h"
#include "syscall_filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Each test confines a child, which then tries things, and tells how it went by its exit status. */

enum { CREATE_RULESET = 444, ABI_NET = 4, GOOD = 0, BAD = 1, UNAVAILABLE = 2 };

static char directory[] = "/tmp/cachetunnel-confine-XXXXXX";

static int
abi(void)
{
	return (int)syscall(CREATE_RULESET, NULL, (size_t)0, 1U);
}

/* Complains in the child, whose output is the test's. */
static bool
expect(bool is_so, const char *what)
{
	if (!is_so)
		(void)fprintf(stderr, "confined child: %s: %s\n", what, strerror(errno));
	return is_so;
}

static void
write_file(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/%s", directory, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	(void)close(fd);
}

static int
make_directory(void **state ATTR_UNUSED)
{
	char path[128];

	if (mkdtemp(directory) == NULL)
		return -1;
	(void)snprintf(path, sizeof path, "%s/granted", directory);
	if (mkdir(path, 0700) != 0)
		return -1;
	write_file("granted/ca.pem");
	write_file("secret");
	return 0;
}

static int
remove_directory(void **state ATTR_UNUSED)
{
	static const char *const names[] = {"granted/ca.pem", "granted/new.log", "granted",
					    "secret", ""};
	char path[128];

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", directory, names[i]);
		(void)remove(path);
	}
	return 0;
}

/* Runs `attempt` in a child, confined to what a configuration with `more` lines needs. */
static int
run_confined(const char *globals, const char *more, int sandbox, bool (*prepare)(void),
	     bool (*attempt)(void))
{
	char text[1024];
	int status = 0;

	(void)snprintf(text, sizeof text,
		       "%s\n[a]\nclient = yes\naccept = 127.0.0.1:7001\nconnect = 127.0.0.1:7002\n"
		       "CAfile = %s/granted/ca.pem\n%s\n",
		       globals, directory, more);
	struct loaded loaded = load(text);
	(void)fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct confinement confinement;
		struct err err = {.text = ""};
		struct reach *reach = reach_of(loaded.config);
		if (prepare != NULL && !prepare())
			_exit(UNAVAILABLE);
		if (!confine_start(sandbox, reach, &confinement, &err)) {
			(void)fprintf(stderr, "%s\n", err.text);
			_exit(UNAVAILABLE);
		}
		_exit(attempt() ? GOOD : BAD);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	unload(&loaded);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool
may_open(const char *name, int flags)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s%s%s", *name == '/' ? "" : directory,
		       *name == '/' ? "" : "/", name);
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

/* 0, or why not. */
static int
connect_to(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int error = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
	(void)close(fd);
	return error;
}

static int
bind_to(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int error = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
	(void)close(fd);
	return error;
}

static bool
try_files(void)
{
	return expect(may_open("granted/ca.pem", O_RDONLY), "reading what it names") &&
	       expect(may_open("/etc/hosts", O_RDONLY), "reading the system's files") &&
	       expect(may_open("granted/new.log", O_WRONLY | O_CREAT | O_APPEND), "a new log") &&
	       expect(!may_open("secret", O_RDONLY) && errno == EACCES, "reading a secret") &&
	       expect(!may_open("secret", O_WRONLY) && errno == EACCES, "writing elsewhere") &&
	       expect(!may_open("new", O_WRONLY | O_CREAT) && errno == EACCES, "a new file");
}

static void
files_are_those_that_the_configuration_needs(void **state ATTR_UNUSED)
{
	char globals[128];

	if (abi() < 1)
		skip();
	(void)snprintf(globals, sizeof globals, "output = %s/granted/new.log", directory);
	assert_int_equal(run_confined(globals, "", SANDBOX_YES, NULL, try_files), GOOD);
}

static bool
try_ports(void)
{
	return expect(connect_to(22) != EACCES, "connecting to a port that a reload may bring") &&
	       expect(bind_to(7003) != EACCES, "listening on a new port");
}

static bool
try_strict_ports(void)
{
	return expect(connect_to(7002) != EACCES, "connecting to the endpoint's port") &&
	       expect(connect_to(6379) != EACCES, "connecting to Redis's port") &&
	       expect(connect_to(22) == EACCES, "connecting to another port") &&
	       expect(bind_to(7001) != EACCES, "listening where it says") &&
	       expect(bind_to(0) == 0, "binding to an address alone") &&
	       expect(bind_to(7003) == EACCES, "listening on a new port");
}

static void
ports_are_pinned_when_all_is_required(void **state ATTR_UNUSED)
{
	if (abi() < ABI_NET)
		skip();
	assert_int_equal(run_confined("", "", SANDBOX_YES, NULL, try_ports), GOOD);
	assert_int_equal(run_confined("sandbox = require", "", SANDBOX_YES, NULL, try_strict_ports),
			 GOOD);
}

static void *
run_thread(void *arg)
{
	*(bool *)arg = true;
	return NULL;
}

static bool
try_calls(void)
{
	static char *const arguments[] = {NULL};
	pthread_t thread;
	bool has_run = false;

	if (!expect(fork() < 0 && errno == ENOSYS, "fork()") ||
	    !expect(execv("/bin/true", arguments) < 0, "execv()") ||
	    !expect(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 && errno == ENOSYS, "ptrace()") ||
	    !expect(unshare(CLONE_NEWUSER) < 0 && errno == ENOSYS, "unshare()") ||
	    !expect(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == ENOSYS, "a packet socket") ||
	    !expect(mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			    MAP_FAILED,
		    "memory to write and run") ||
	    !expect(kill(1, 0) < 0, "a signal to another process"))
		return false;
	return expect(pthread_create(&thread, NULL, run_thread, &has_run) == 0, "a thread") &&
	       expect(pthread_join(thread, NULL) == 0 && has_run, "its end");
}

static void
no_programs_and_no_other_processes(void **state ATTR_UNUSED)
{
	if (strstr(syscall_filter_description(), "without") != NULL)
		skip();
	assert_int_equal(run_confined("", "", SANDBOX_YES, NULL, try_calls), GOOD);
}

static bool
try_status(void)
{
	return expect(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0, "core files") &&
	       expect(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0, "what sudo needs") &&
	       expect(may_open("secret", O_RDONLY), "reading what a program may need");
}

/* As a kernel without Landlock, or a container that forbids it. */
static bool
forbid_landlock(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CREATE_RULESET, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = ARRAY_LENGTH(code), .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

static bool
do_nothing(void)
{
	return true;
}

static void
what_is_missing_counts_when_it_is_required(void **state ATTR_UNUSED)
{
	assert_int_equal(run_confined("", "", SANDBOX_YES, forbid_landlock, do_nothing), GOOD);
	assert_int_equal(run_confined("", "", SANDBOX_REQUIRE, forbid_landlock, do_nothing),
			 UNAVAILABLE);
	assert_int_equal(run_confined("", "", SANDBOX_NO, NULL, do_nothing), GOOD);
}

static void
programs_of_bastions_leave_the_rest_open(void **state ATTR_UNUSED)
{
	static const char bastion[] = "bastion = b\n[bastion b]\nhost = h\nproxyCommand = nc %h %p";

	assert_int_equal(run_confined("", bastion, SANDBOX_REQUIRE, NULL, do_nothing), UNAVAILABLE);
	assert_int_equal(run_confined("", bastion, SANDBOX_YES, NULL, try_status), GOOD);
}

/* Whether a daemon that was started with `started` may reload `changed`. */
static bool
may_reload(const char *started, const char *changed)
{
	static const char service[] =
		"[a]\nclient = yes\naccept = 127.0.0.1:7001\nconnect = 127.0.0.1:7002\n";
	char text[512];

	(void)snprintf(text, sizeof text, "%s\n%s", started, service);
	struct loaded before = load(text);
	(void)snprintf(text, sizeof text, "%s\n%s", changed, service);
	struct loaded after = load(text);
	struct reach *granted = reach_of(before.config);
	struct reach *wanted = reach_of(after.config);
	bool is_covered = reach_covers(granted, wanted, after.report);
	reach_free(wanted);
	reach_free(granted);
	unload(&after);
	unload(&before);
	return is_covered;
}

static void
reload_may_bring_what_is_usual(void **state ATTR_UNUSED)
{
	char elsewhere[128];

	(void)snprintf(elsewhere, sizeof elsewhere, "output = %s/new.log", directory);
	assert_true(may_reload("", "output = /var/log/new.log"));
	assert_false(may_reload("sandbox = require", "output = /var/log/new.log"));
	assert_false(may_reload("", elsewhere));
	assert_true(may_reload(elsewhere, elsewhere));
	/* It stays as it was. */
	assert_true(may_reload("", "pid = /usr/new.pid"));
	/* Opening it tells more. */
	assert_true(may_reload("", "output = /nonexistent/new.log"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_those_that_the_configuration_needs),
		cmocka_unit_test(ports_are_pinned_when_all_is_required),
		cmocka_unit_test(reload_may_bring_what_is_usual),
		cmocka_unit_test(no_programs_and_no_other_processes),
		cmocka_unit_test(what_is_missing_counts_when_it_is_required),
		cmocka_unit_test(programs_of_bastions_leave_the_rest_open),
	};
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
