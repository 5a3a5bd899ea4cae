#include "base/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static int
open_log(const char *path, bool overwrite)
{
	int mode = overwrite ? O_TRUNC : O_APPEND;

	return open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | mode, 0640);
}

int
log_file_open(const char *path, bool overwrite, struct err *err)
{
	int fd = open_log(path, overwrite);

	if (fd < 0)
		(void)err_set_errno(err, errno, "cannot open the log file '%s'", path);
	return fd;
}

/* Gives up on any real error, because a log that cannot be written (a full disk) must not stop
 * anything. */
bool
log_file_write_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, text, length);
		if (written >= 0) {
			text += written;
			length -= (size_t)written;
		} else if (errno == EAGAIN) {
			struct pollfd wait = {.fd = fd, .events = POLLOUT};
			(void)poll(&wait, 1, -1);
		} else if (errno != EINTR) {
			return false;
		}
	}
	return true;
}

void
log_file_write(struct log_file *file, const char *text, size_t length)
{
	if (file->fd >= 0 && !log_file_write_all(file->fd, text, length))
		file->unwritten++;
}

/* The last line before may be torn, so an end of line comes first. */
unsigned long
log_file_take_unwritten(struct log_file *file)
{
	unsigned long count = file->unwritten;

	if (count == 0 || file->fd < 0 || !log_file_write_all(file->fd, "\n", 1))
		return 0;
	file->unwritten = 0;
	return count;
}

void
log_file_switch(struct log_file *file, int fd)
{
	if (file->fd >= 0)
		(void)close(file->fd);
	file->fd = fd;
}

bool
log_file_reopen(struct log_file *file, const char *path, bool overwrite, struct err *err)
{
	int fd = open_log(path, overwrite);

	if (fd < 0)
		return err_set_errno(err, errno, "cannot open the log file '%s' again", path);
	log_file_switch(file, fd);
	return true;
}
