#include "control/control_socket.h"

#include "base/identity.h"
#include "base/memory.h"
#include "base/text.h"
#include "tunnel/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 128, PATH_SIZE = 256 };

static const char file_name[] = "cachetunnel/control.sock";
static const char run_directory[] = "/run/cachetunnel";

struct control_socket {
	int fd; /* owned; -1: handed over */
	char *path;
	int directory; /* owned; -1: unknown */
	dev_t device;  /* the file's, to know it again */
	ino_t inode;
};

bool
control_socket_is_auto(const char *setting)
{
	return text_equal_nocase(setting, "auto");
}

bool
control_socket_is_off(const char *setting)
{
	return text_equal_nocase(setting, "no");
}

bool
control_socket_find(const char *setting, char *out, size_t size, struct err *err)
{
	const char *own = getenv("XDG_RUNTIME_DIR");
	int length;

	if (control_socket_is_off(setting))
		return err_set(err, "there is no control socket (control = no)");
	if (!control_socket_is_auto(setting))
		length = snprintf(out, size, "%s", setting);
	else if (geteuid() == 0 || access(run_directory, W_OK) == 0)
		length = snprintf(out, size, "/run/%s", file_name);
	else if (own != NULL && own[0] == '/')
		length = snprintf(out, size, "%s/%s", own, file_name);
	else
		return err_set(err,
			       "there is no place for a control socket: %s is not writable, "
			       "and XDG_RUNTIME_DIR is not set; write control = PATH",
			       run_directory);
	if (length < 0 || (size_t)length >= size)
		return err_set(err, "the path of the control socket is too long");
	return true;
}

/* The folder of a path, as a text of its own. */
static char *
folder_of(const char *path)
{
	char *folder = memory_copy_text(path);
	char *last = strrchr(folder, '/');

	last[last == folder ? 1 : 0] = '\0';
	return folder;
}

/* Only the last part is made: what it lies in is the system's. Whose it is decides who can remove
 * the socket in the end. */
static void
make_folder(const char *folder, const struct global_options *options)
{
	uid_t owner = (uid_t)-1;
	gid_t group = (gid_t)-1;

	if (mkdir(folder, geteuid() == 0 ? 0755 : 0700) != 0)
		return; /* it is there, or bind() will tell */
	if (options->setuid != NULL && !identity_find_user(options->setuid, &owner))
		return;
	if (options->setgid != NULL && !identity_find_group(options->setgid, &group))
		return;
	if (lchown(folder, owner, group) != 0)
		(void)rmdir(folder);
}

static void
remember_file(struct control_socket *socket, const char *folder)
{
	struct stat status;

	socket->directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lstat(socket->path, &status) == 0) {
		socket->device = status.st_dev;
		socket->inode = status.st_ino;
	}
}

struct control_socket *
control_socket_open(const struct global_options *options, struct err *err)
{
	const struct unix_socket_access access = {
		.owner = options->setuid,
		.group = options->setgid,
		.mode = S_IRUSR | S_IWUSR,
	};
	char path[PATH_SIZE];

	if (!control_socket_find(options->control, path, sizeof path, err))
		return NULL;
	char *folder = folder_of(path);
	if (control_socket_is_auto(options->control))
		make_folder(folder, options);
	int fd = unix_socket_listen(path, &access, BACKLOG, err);
	struct control_socket *socket = NULL;
	if (fd >= 0) {
		socket = memory_zero(sizeof *socket);
		socket->fd = fd;
		socket->path = memory_copy_text(path);
		remember_file(socket, folder);
	}
	free(folder);
	return socket;
}

const char *
control_socket_path(const struct control_socket *socket)
{
	return socket->path;
}

int
control_socket_take(struct control_socket *socket)
{
	int fd = socket->fd;

	/* Linux tells clients the process that called listen() last; a daemon has forked since. */
	(void)listen(fd, BACKLOG);
	socket->fd = -1;
	return fd;
}

void
control_socket_close(struct control_socket *socket)
{
	struct stat status;

	if (socket == NULL)
		return;
	const char *name = strrchr(socket->path, '/') + 1;
	if (socket->directory >= 0 &&
	    fstatat(socket->directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    status.st_dev == socket->device && status.st_ino == socket->inode)
		(void)unlinkat(socket->directory, name, 0);
	if (socket->directory >= 0)
		(void)close(socket->directory);
	if (socket->fd >= 0)
		(void)close(socket->fd);
	free(socket->path);
	free(socket);
}
