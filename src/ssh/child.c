#include "ssh/child.h"

#include "base/attributes.h"
#include "base/compat.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdnoreturn.h>
#include <unistd.h>

enum { EXIT_CANNOT_RUN = 127 }; /* the shell's own status for it */

/* An ignored SIGPIPE would outlive exec, and so would a mask. Numbers that cannot be changed are
 * refused, which is fine. */
static void
reset_signals(void)
{
	struct sigaction plain = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		(void)sigaction(number, &plain, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static noreturn void
run_child(const char *command, int in_out, int errors)
{
	static const char complaint[] = "cannot run /bin/sh (is it inside the chroot?)\n";

	(void)setsid();
	/* Out of the way of the standard ones first, which are free in a process that closed its
	 * own. */
	in_out = fcntl(in_out, F_DUPFD, STDERR_FILENO + 1);
	errors = fcntl(errors, F_DUPFD, STDERR_FILENO + 1);
	if (dup2(errors, STDERR_FILENO) >= 0 && dup2(in_out, STDIN_FILENO) >= 0 &&
	    dup2(in_out, STDOUT_FILENO) >= 0) {
		compat_close_from(STDERR_FILENO + 1);
		reset_signals();
		(void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	}
	ssize_t written = write(STDERR_FILENO, complaint, sizeof complaint - 1);
	(void)written;
	_exit(EXIT_CANNOT_RUN);
}

pid_t
child_start(const char *command, int in_out, int errors)
{
	sigset_t all;
	sigset_t before;

	/* A handler of ours that ran in the child would write to our pipes. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();
	if (pid == 0)
		run_child(command, in_out, errors);
	int error = errno;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return pid;
}
