#include "tunnel/unix_socket.h"

#include "base/compat.h"
#include "base/identity.h"
#include "tunnel/socket_setup.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
refuse_live(const char *who, struct err *err)
{
	return err_set(err, "%s listens there: stop it, or choose another path", who);
}

/* Looks who listens on a socket file, and removes it if nobody does. */
static bool
take_over(const char *path, const struct sockaddr *address, socklen_t length, struct err *err)
{
	int fd = compat_socket(AF_UNIX);
	struct compat_peer peer;
	char who[48] = "another process";
	bool is_clear = true;

	if (fd < 0)
		return err_set_errno(err, errno, "no socket");
	if (connect(fd, address, length) == 0) {
		if (compat_peer_of(fd, &peer) && peer.pid > 0)
			(void)snprintf(who, sizeof who, "process %ld", (long)peer.pid);
		is_clear = refuse_live(who, err);
	} else if (errno == EAGAIN) { /* as many clients wait there as fit */
		is_clear = refuse_live(who, err);
	} else if (errno == ECONNREFUSED && unlink(path) != 0) {
		is_clear = err_set_errno(err, errno,
					 "the old socket, which nobody listens on, is in the way");
	}
	(void)close(fd);
	return is_clear;
}

static bool
make_way(const char *path, const struct sockaddr *address, socklen_t length, struct err *err)
{
	struct stat status;

	if (lstat(path, &status) != 0)
		return true; /* nothing is there; or bind() will tell what is wrong */
	if (!S_ISSOCK(status.st_mode))
		return err_set(err, "a file of that name is there, and it is no socket: move it "
				    "away, or choose another path");
	return take_over(path, address, length, err);
}

static bool
hand_over(const char *path, const struct unix_socket_access *access, struct err *err)
{
	uid_t owner = (uid_t)-1; /* as it is */
	gid_t group = (gid_t)-1;

	if (access->owner != NULL && !identity_find_user(access->owner, &owner))
		return err_set(err, "there is no user '%s' (setuid)", access->owner);
	if (access->group != NULL && !identity_find_group(access->group, &group))
		return err_set(err, "there is no group '%s' (setgid)", access->group);
	if ((access->owner != NULL || access->group != NULL) && lchown(path, owner, group) != 0)
		return err_set_errno(err, errno, "cannot give the socket its owner");
	/* After the owner: a change of that may clear bits. */
	if (access->mode >= 0 && chmod(path, (mode_t)access->mode) != 0)
		return err_set_errno(err, errno, "cannot give the socket its mode");
	return true;
}

/* Nobody can connect before listen(). */
static bool
bind_and_listen(int fd, const char *path, const struct sockaddr *address, socklen_t length,
		const struct unix_socket_access *access, int backlog, struct err *err)
{
	bool is_ours = false;

	if (bind(fd, address, length) != 0)
		return err_set_errno(err, errno, "cannot make the socket");
	is_ours = hand_over(path, access, err);
	if (is_ours && listen(fd, backlog) != 0)
		is_ours = err_set_errno(err, errno, "cannot listen");
	if (!is_ours)
		(void)unlink(path);
	return is_ours;
}

int
unix_socket_listen(const char *path, const struct unix_socket_access *access, int backlog,
		   struct err *err)
{
	struct sockaddr_storage storage;
	const struct sockaddr *address = (const void *)&storage;
	socklen_t length;
	int fd = -1;

	if (!socket_unix_address(path, &storage, &length, err))
		return -1;
	if (make_way(path, address, length, err)) {
		fd = compat_socket(AF_UNIX);
		if (fd < 0)
			(void)err_set_errno(err, errno, "no socket");
		else if (bind_and_listen(fd, path, address, length, access, backlog, err))
			return fd;
	}
	(void)err_wrap(err, "cannot listen on %s", path);
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

void
unix_socket_identify(const char *path, struct unix_socket_file *ret_file)
{
	struct stat status;

	*ret_file = (struct unix_socket_file){0};
	if (lstat(path, &status) == 0)
		*ret_file = (struct unix_socket_file){status.st_dev, status.st_ino};
}

bool
unix_socket_is_in_place(const char *path, const struct unix_socket_file *file)
{
	struct unix_socket_file now;

	unix_socket_identify(path, &now);
	return now.inode != 0 && now.inode == file->inode && now.device == file->device;
}
