#include "process.h"

#include "base/compat.h"
#include "base/identity.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The writing end of the pipe that the parent waits on; -1: not detached. */
static int ready_pipe = -1;

int
process_set_limits(void)
{
	struct rlimit limit = {0};

	(void)setrlimit(RLIMIT_CORE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return INT_MAX;
	limit.rlim_cur = limit.rlim_max;
	/* Some systems promise a limit that they do not grant. */
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX)
		return INT_MAX;
	return (int)limit.rlim_cur;
}

bool
process_confine(const struct global_options *options, struct err *err)
{
	uid_t user = geteuid();
	gid_t group = getegid();

	if (options->setuid != NULL && !identity_find_user(options->setuid, &user))
		return err_set(err, "there is no user '%s' (setuid)", options->setuid);
	if (options->setgid != NULL && !identity_find_group(options->setgid, &group))
		return err_set(err, "there is no group '%s' (setgid)", options->setgid);
	if (options->setgid == NULL && options->setuid != NULL && user != geteuid())
		group = identity_group_of(user);

	if (options->chroot != NULL && (chroot(options->chroot) != 0 || chdir("/") != 0))
		return err_set_errno(err, errno, "cannot chroot to '%s'", options->chroot);
	/* AWS's example says root to root: nothing to switch, nor to fail at in a container. */
	if (user == geteuid() && group == getegid())
		return true;
	return compat_switch_user(user, group, err);
}

char *
process_absolute_path(const char *path)
{
	char directory[PATH_MAX];

	if (path[0] == '/' || getcwd(directory, sizeof directory) == NULL)
		return memory_copy_text(path);
	return memory_format("%s/%s", directory, path);
}

bool
process_is_stderr_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM"); /* systemd.exec(5): "DEVICE:INODE" */
	struct stat status;
	char ours[64];

	if (stream == NULL || fstat(STDERR_FILENO, &status) != 0)
		return false;
	(void)snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)status.st_dev,
		       (uintmax_t)status.st_ino);
	return strcmp(stream, ours) == 0;
}

/* The parent's last act: the exit status is the child's word, or its silence. */
static void
wait_for_child(int pipe_end)
{
	char word;
	ssize_t count;

	do
		count = read(pipe_end, &word, 1);
	while (count < 0 && errno == EINTR);
	_exit(count == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

bool
process_detach(struct err *err)
{
	int ends[2];

	if (pipe(ends) != 0)
		return err_set_errno(err, errno, "cannot become a daemon");
	pid_t child = fork();
	if (child < 0) {
		(void)close(ends[0]);
		(void)close(ends[1]);
		return err_set_errno(err, errno, "cannot become a daemon");
	}
	if (child > 0) {
		(void)close(ends[1]);
		wait_for_child(ends[0]);
	}
	(void)close(ends[0]);
	(void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
	ready_pipe = ends[1];
	(void)setsid();
	if (chdir("/") != 0)
		return err_set_errno(err, errno, "cannot become a daemon");
	return true;
}

void
process_report_ready(void)
{
	if (ready_pipe < 0)
		return;
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (nowhere >= 0) {
		(void)dup2(nowhere, STDIN_FILENO);
		(void)dup2(nowhere, STDOUT_FILENO);
		(void)dup2(nowhere, STDERR_FILENO);
		if (nowhere > STDERR_FILENO)
			(void)close(nowhere);
	}
	ssize_t written = write(ready_pipe, "", 1);
	(void)written; /* a parent that was killed meanwhile need not know */
	(void)close(ready_pipe);
	ready_pipe = -1;
}

bool
process_write_pid(const char *path, struct err *err)
{
	char text[32];
	int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	bool is_written;

	/* Created anew, so that neither an old file nor a link that somebody put there is
	 * written to. */
	(void)unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return err_set_errno(err, errno, "cannot create the pid file '%s'", path);
	is_written = write(fd, text, (size_t)length) == length;
	int error = errno;
	(void)close(fd);
	if (is_written)
		return true;
	(void)unlink(path);
	return err_set_errno(err, error, "cannot write the pid file '%s'", path);
}
