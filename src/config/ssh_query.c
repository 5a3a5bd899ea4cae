#include "config/ssh_query.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/memory.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	OUTPUT_SIZE_MAX = 64 * 1024,
	TIME_LIMIT_S = 10,
	SHOWN_SIZE = 80,
	COMPLAINT_SIZE = 200,
	STATUS_NOT_FOUND = 127, /* where posix_spawn() itself cannot tell */
};

extern char **environ;

enum { CAPTURE_OUTPUT, CAPTURE_ERRORS, CAPTURES };

struct capture {
	int ends[2]; /* of a pipe; -1 once closed */
	size_t length;
	char text[OUTPUT_SIZE_MAX + 1];
};

static void
close_end(int *end)
{
	if (*end >= 0)
		(void)close(*end);
	*end = -1;
}

static void
free_captures(struct capture *captures)
{
	for (size_t i = 0; i < CAPTURES; i++) {
		close_end(&captures[i].ends[0]);
		close_end(&captures[i].ends[1]);
	}
	free(captures);
}

static bool
open_captures(struct capture *captures)
{
	for (size_t i = 0; i < CAPTURES; i++)
		captures[i].ends[0] = captures[i].ends[1] = -1;
	for (size_t i = 0; i < CAPTURES; i++) {
		/* The child's end must block: no program expects otherwise. */
		if (!compat_pipe(captures[i].ends) || fcntl(captures[i].ends[1], F_SETFL, 0) != 0)
			return false;
	}
	return true;
}

/* The child gets a process group of its own, so that whatever it starts can be ended with it,
 * and signals as in a fresh process. */
static void
set_attributes(posix_spawnattr_t *attributes)
{
	static const int numbers[] = {SIGPIPE, SIGCHLD, SIGHUP,  SIGINT,
				      SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};
	sigset_t set;

	(void)sigemptyset(&set);
	(void)posix_spawnattr_setsigmask(attributes, &set);
	for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
		(void)sigaddset(&set, numbers[i]);
	(void)posix_spawnattr_setsigdefault(attributes, &set);
	(void)posix_spawnattr_setpgroup(attributes, 0);
	(void)posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
							   POSIX_SPAWN_SETSIGDEF);
}

/* Returns 0 or an error number. */
static int
spawn(const char *program, const char *name, const struct capture *captures, pid_t *ret_pid)
{
	char *arguments[] = {memory_copy_text("ssh"), memory_copy_text("-G"),
			     memory_copy_text(name), NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int error = posix_spawn_file_actions_init(&actions);

	if (error == 0) {
		error = posix_spawnattr_init(&attributes);
		if (error == 0) {
			set_attributes(&attributes);
			(void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null",
							       O_RDONLY, 0);
			(void)posix_spawn_file_actions_adddup2(
				&actions, captures[CAPTURE_OUTPUT].ends[1], STDOUT_FILENO);
			(void)posix_spawn_file_actions_adddup2(
				&actions, captures[CAPTURE_ERRORS].ends[1], STDERR_FILENO);
			error = posix_spawnp(ret_pid, program, &actions, &attributes, arguments,
					     environ);
			(void)posix_spawnattr_destroy(&attributes);
		}
		(void)posix_spawn_file_actions_destroy(&actions);
	}
	for (size_t i = 0; i < ARRAY_LENGTH(arguments); i++)
		free(arguments[i]);
	return error;
}

/* Reads what is there; closes the end at end-of-file. False: it is too much. */
static bool
read_some(struct capture *capture)
{
	size_t room = sizeof capture->text - 1 - capture->length;

	if (room == 0)
		return false;
	ssize_t count = read(capture->ends[0], capture->text + capture->length, room);
	if (count > 0)
		capture->length += (size_t)count;
	else if (count == 0 || (errno != EAGAIN && errno != EINTR))
		close_end(&capture->ends[0]);
	return true;
}

static bool
read_all(struct capture *captures, struct err *err)
{
	uint64_t deadline = clock_now_us() + TIME_LIMIT_S * UINT64_C(1000000);

	while (captures[0].ends[0] >= 0 || captures[1].ends[0] >= 0) {
		struct pollfd polled[CAPTURES];
		uint64_t now = clock_now_us();
		if (now >= deadline)
			return err_set(err, "no answer within %d s", TIME_LIMIT_S);
		/* poll() passes over a negative descriptor. */
		for (size_t i = 0; i < CAPTURES; i++)
			polled[i] = (struct pollfd){.fd = captures[i].ends[0], .events = POLLIN};
		if (poll(polled, CAPTURES, (int)((deadline - now) / 1000) + 1) < 0 &&
		    errno != EINTR)
			return err_set_errno(err, errno, "it cannot be waited for");
		for (size_t i = 0; i < CAPTURES; i++) {
			if (captures[i].ends[0] >= 0 && polled[i].revents != 0 &&
			    !read_some(&captures[i]))
				return err_set(err, "the answer is longer than %d KiB",
					       OUTPUT_SIZE_MAX / 1024);
		}
	}
	return true;
}

/* The first line of what ssh complained about, for a message; empty: nothing. What follows only
 * says that it gives up. */
static char *
first_line(char *text, char *out, size_t size)
{
	char *trimmed = text_trim(text);

	trimmed[strcspn(trimmed, "\n")] = '\0';
	return text_escape(out, size, text_trim(trimmed));
}

static bool
judge_status(int status, char *complaints, struct err *err)
{
	char shown[COMPLAINT_SIZE];

	if (WIFSIGNALED(status))
		return err_set(err, "killed by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) == 0)
		return true;
	if (*first_line(complaints, shown, sizeof shown) != '\0')
		return err_set(err, "%s", shown);
	if (WEXITSTATUS(status) == STATUS_NOT_FOUND)
		return err_set(err, "cannot run it; install OpenSSH's client");
	return err_set(err, "exit status %d", WEXITSTATUS(status));
}

/* Reads the child's output and reaps it. */
static bool
attend(pid_t pid, struct capture *captures, struct err *err)
{
	bool is_good = false;
	int status = 0;

	for (size_t i = 0; i < CAPTURES; i++)
		close_end(&captures[i].ends[1]);
	is_good = read_all(captures, err);
	if (!is_good)
		(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return is_good && err_set_errno(err, errno, "it cannot be waited for");
	}
	return is_good && judge_status(status, captures[CAPTURE_ERRORS].text, err);
}

/* A reload asks from inside the sandbox, whose filter says ENOSYS, and whose Landlock EACCES. */
static void
explain_failure(int error, struct err *err)
{
	if (error == ENOSYS || error == EACCES)
		(void)err_set_errno(err, error,
				    "cannot run it; once the daemon runs, its sandbox forbids "
				    "programs: restart to use the alias");
	else
		(void)err_set_errno(err, error, "cannot run it; install OpenSSH's client");
}

bool
ssh_query(const char *name, char **ret_output, struct err *err)
{
	const char *program = getenv("CACHETUNNEL_SSH");
	struct capture *captures = memory_zero(CAPTURES * sizeof *captures);
	char shown[SHOWN_SIZE];
	bool is_good = false;
	pid_t pid = -1;
	int error = 0;

	assert(*name != '-');
	if (program == NULL || *program == '\0')
		program = "ssh";
	if (!open_captures(captures))
		(void)err_set_errno(err, errno, "no pipe");
	else if ((error = spawn(program, name, captures, &pid)) != 0)
		explain_failure(error, err);
	else
		is_good = attend(pid, captures, err);
	if (is_good)
		*ret_output = memory_copy_text(captures[CAPTURE_OUTPUT].text);
	else
		(void)err_wrap(err, "'ssh -G %s'", text_escape(shown, sizeof shown, name));
	free_captures(captures);
	return is_good;
}
