#include "control/port_owner.h"

#include "base/text.h"

#include <dirent.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { TCP_STATE_LISTEN = 0x0A, UNIX_FLAG_ACCEPTS = 0x10000, HEX_SIZE = 40, LINE_SIZE = 512 };

/* The address as /proc/net/tcp and tcp6 write it: words of memory, whatever their order. */
static void
format_hex(const struct sockaddr_storage *address, char *out, size_t size)
{
	uint32_t words[4];

	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)address;
		(void)snprintf(out, size, "%08X", v4->sin_addr.s_addr);
		return;
	}
	const struct sockaddr_in6 *v6 = (const void *)address;
	memcpy(words, &v6->sin6_addr, sizeof words);
	(void)snprintf(out, size, "%08X%08X%08X%08X", words[0], words[1], words[2], words[3]);
}

static unsigned
port_of(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
	return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
}

/* Looks for the listener in one table; its socket's number, 0: none. */
static unsigned long
find_in_tcp_table(const char *path, const struct sockaddr_storage *address, uid_t *ret_user)
{
	char wanted[HEX_SIZE];
	char line[LINE_SIZE];
	unsigned long found = 0;
	FILE *table = fopen(path, "re");

	if (table == NULL)
		return 0;
	format_hex(address, wanted, sizeof wanted);
	while (found == 0 && fgets(line, sizeof line, table) != NULL) {
		char local[HEX_SIZE];
		unsigned port;
		unsigned state;
		unsigned user;
		unsigned long inode;
		/* sl local:port remote:port state queues timer retransmits uid timeout inode */
		if (sscanf(line, " %*u: %39[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %u %*d %lu",
			   local, &port, &state, &user, &inode) != 5)
			continue;
		bool is_any = strspn(local, "0") == strlen(local);
		if (state != TCP_STATE_LISTEN || port != port_of(address) ||
		    (!is_any && strcmp(local, wanted) != 0))
			continue;
		*ret_user = user;
		found = inode;
	}
	(void)fclose(table);
	return found;
}

static unsigned long
find_in_unix_table(const struct sockaddr_storage *address)
{
	const struct sockaddr_un *local = (const void *)address;
	char line[LINE_SIZE];
	unsigned long found = 0;
	FILE *table = fopen("/proc/net/unix", "re");

	if (table == NULL)
		return 0;
	while (found == 0 && fgets(line, sizeof line, table) != NULL) {
		unsigned flags;
		unsigned long inode;
		int path_at = 0;
		/* address: references protocol flags type state inode path */
		if (sscanf(line, "%*x: %*x %*x %x %*x %*x %lu %n", &flags, &inode, &path_at) != 2)
			continue;
		line[strcspn(line, "\n")] = '\0';
		if ((flags & UNIX_FLAG_ACCEPTS) != 0 && path_at > 0 &&
		    strcmp(line + path_at, local->sun_path) == 0)
			found = inode;
	}
	(void)fclose(table);
	return found;
}

static bool
has_socket(const char *pid, unsigned long inode)
{
	char path[64];
	char wanted[64];
	bool is_found = false;
	const struct dirent *entry;

	(void)snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
	(void)snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
	DIR *directory = opendir(path);
	if (directory == NULL)
		return false;
	while (!is_found && (entry = readdir(directory)) != NULL) {
		char target[64];
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, target,
					    sizeof target - 1);
		if (length < 0)
			continue;
		target[length] = '\0';
		is_found = strcmp(target, wanted) == 0;
	}
	(void)closedir(directory);
	return is_found;
}

static void
read_name(pid_t pid, char *out, size_t size)
{
	char path[64];

	(void)snprintf(out, size, "?");
	(void)snprintf(path, sizeof path, "/proc/%ld/comm", (long)pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fgets(out, (int)size, file) != NULL)
		out[strcspn(out, "\n")] = '\0';
	(void)fclose(file);
}

static void
find_process(unsigned long inode, struct port_owner *owner)
{
	const struct dirent *entry;
	DIR *processes = opendir("/proc");

	if (processes == NULL)
		return;
	while (owner->pid == 0 && (entry = readdir(processes)) != NULL) {
		long pid;
		if (!text_to_long(entry->d_name, 1, INT_MAX, &pid) ||
		    !has_socket(entry->d_name, inode))
			continue;
		owner->pid = (pid_t)pid;
		read_name(owner->pid, owner->name, sizeof owner->name);
	}
	(void)closedir(processes);
}

bool
port_owner_find(const struct sockaddr_storage *address, struct port_owner *ret_owner)
{
	unsigned long inode = 0;

	*ret_owner = (struct port_owner){0};
	if (address->ss_family == AF_UNIX)
		inode = find_in_unix_table(address);
	if (address->ss_family == AF_INET)
		inode = find_in_tcp_table("/proc/net/tcp", address, &ret_owner->user);
	/* One socket of IPv6 may take IPv4's port as well. */
	if (inode == 0 && address->ss_family != AF_UNIX)
		inode = find_in_tcp_table("/proc/net/tcp6", address, &ret_owner->user);
	if (inode == 0)
		return false;
	find_process(inode, ret_owner);
	return true;
}
