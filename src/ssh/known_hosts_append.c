#include "base/memory.h"
#include "ssh/base64.h"
#include "ssh/known_hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	PORT_MAX = 65535,
	REPLACED_TIMES_MAX = 10,
	/* Who else has the lock is about to write a line; a worker can wait for that, not longer. */
	LOCK_TRIES = 50,
	LOCK_PAUSE_NS = 5 * 1000 * 1000,
};

/* Whether the name stands for itself in a line: no separator, pattern, marker or comment. */
static bool
is_plain_name(const char *host)
{
	for (const char *letter = host; *letter != '\0'; letter++) {
		if ((unsigned char)*letter <= ' ' || *letter == 0x7f)
			return false;
	}
	return *host != '\0' && strpbrk(host, ",*?!|@#[]") == NULL;
}

/* Returns the line, owned, with a line end before it and one behind it. */
static char *
format_line(const char *host, unsigned port, struct host_key key, struct err *err)
{
	char name[KNOWN_HOSTS_NAME_SIZE];
	char algorithm[HOST_KEY_ALGORITHM_SIZE];

	if (!is_plain_name(host) || port == 0 || port > PORT_MAX ||
	    !known_hosts_name(host, port, name, sizeof name)) {
		(void)err_set(err, "'%s' port %u cannot stand in a known hosts file", host, port);
		return NULL;
	}
	if (!host_key_is_well_formed(key)) {
		(void)err_set(err, "the host key of '%s' is malformed", host);
		return NULL;
	}
	char *base64 = base64_encode(key.blob, key.length);
	char *line = memory_format("\n%s %s %s\n", name,
				   host_key_algorithm(key, algorithm, sizeof algorithm), base64);
	free(base64);
	return line;
}

/* Makes the folder that `path` is in. Whether that helped, opening will tell. */
static void
make_folder(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return;
	char *folder = memory_format("%.*s", (int)(slash - path), path);
	(void)mkdir(folder, 0700);
	free(folder);
}

static int
open_or_make(const char *path)
{
	/* Reading tells whether a line end is missing. */
	const int flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY;
	int fd = open(path, flags, 0600);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	make_folder(path);
	return open(path, flags, 0600);
}

/* flock() rather than fcntl(), whose locks do not keep threads of one process apart. */
static bool
lock(int fd)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return true;
		if (errno != EINTR && errno != EWOULDBLOCK)
			return false;
		(void)nanosleep(&pause, NULL);
	}
	errno = EWOULDBLOCK;
	return false;
}

/* Whether `path` still leads to this file. */
static bool
is_in_place(int fd, const char *path)
{
	struct stat opened;
	struct stat named;

	return fstat(fd, &opened) == 0 && stat(path, &named) == 0 &&
	       opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/* Returns a locked descriptor; -1 with `err`. */
static int
open_locked(const char *path, struct err *err)
{
	/* `ssh-keygen -R` replaces the file, perhaps while we wait for the lock. */
	for (int i = 0; i < REPLACED_TIMES_MAX; i++) {
		int fd = open_or_make(path);
		if (fd < 0) {
			(void)err_set_errno(err, errno, "cannot open '%s' for writing", path);
			return -1;
		}
		if (!lock(fd)) {
			(void)(errno == EWOULDBLOCK
				       ? err_set(err, "another process keeps '%s' locked", path)
				       : err_set_errno(err, errno, "cannot lock '%s'", path));
			(void)close(fd);
			return -1;
		}
		if (is_in_place(fd, path))
			return fd;
		(void)close(fd);
	}
	(void)err_set(err, "'%s' keeps being replaced by others", path);
	return -1;
}

static bool
ends_inside_a_line(int fd)
{
	struct stat status;
	char last = '\n';

	return fstat(fd, &status) == 0 && status.st_size > 0 &&
	       pread(fd, &last, 1, status.st_size - 1) == 1 && last != '\n';
}

/* If only a part gets written, that is one bad line: the next append begins a line of its own. */
static bool
write_line(int fd, const char *path, const char *line, struct err *err)
{
	const char *start = ends_inside_a_line(fd) ? line : line + 1;
	size_t length = strlen(start);
	ssize_t written = -1;

	do
		written = write(fd, start, length);
	while (written < 0 && errno == EINTR);
	if (written < 0)
		return err_set_errno(err, errno, "cannot write to '%s'", path);
	if ((size_t)written < length)
		return err_set(err, "cannot write to '%s': only a part of the line fit in", path);
	return true;
}

/* What the locked file says of the key: somebody may have added a line since the caller looked. */
static bool
check_again(const char *path, const char *host, unsigned port, struct host_key key,
	    bool *ret_is_there, struct err *err)
{
	struct known_hosts *hosts = known_hosts_new();
	struct host_key_finding finding = {.verdict = HOST_KEY_UNKNOWN};

	if (known_hosts_read(hosts, path, NULL, err))
		finding = known_hosts_check(hosts, host, port, key);
	known_hosts_free(hosts);
	*ret_is_there = finding.verdict == HOST_KEY_KNOWN;
	if (*ret_is_there || finding.verdict == HOST_KEY_UNKNOWN)
		return true;
	return err_set(err, "another key of '%s' has just been added (%s)", host, finding.place);
}

bool
known_hosts_append(const char *path, const char *host, unsigned port, struct host_key key,
		   struct err *err)
{
	bool is_done = false;
	bool is_there = false;
	char *line = format_line(host, port, key, err);

	if (line == NULL)
		return false;
	int fd = open_locked(path, err);
	if (fd >= 0) {
		is_done = check_again(path, host, port, key, &is_there, err) &&
			  (is_there || write_line(fd, path, line, err));
		/* Some file systems tell only now that the disk is full. */
		if (close(fd) != 0 && is_done)
			is_done = err_set_errno(err, errno, "cannot write to '%s'", path);
	}
	free(line);
	return is_done;
}
