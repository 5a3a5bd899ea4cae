#define _GNU_SOURCE /* O_PATH, syscall() */

#include "confine.h"

#include "base/log.h"
#include "syscall_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Landlock's interface, from the kernel's documentation (userspace-api/landlock). Distributions'
 * headers are older than kernels that run on them, so what we use is written down here. The
 * numbers of these calls are the same on every architecture.
 */
enum {
	CREATE_RULESET = 444,
	ADD_RULE = 445,
	RESTRICT_SELF = 446,
	CREATE_RULESET_VERSION = 1 << 0,
	RULE_PATH_BENEATH = 1,
	RULE_NET_PORT = 2,
};

enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_REG = 1 << 8,
	FS_MAKE_SOCK = 1 << 9,
	FS_ALL_OF_ABI_1 = (1 << 13) - 1,
	FS_REFER = 1 << 13,     /* ABI 2 */
	FS_TRUNCATE = 1 << 14,  /* ABI 3 */
	FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
	FS_OF_FILES = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,

	NET_BIND_TCP = 1 << 0, /* ABI 4 */
	NET_CONNECT_TCP = 1 << 1,

	SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0, /* ABI 6 */
	SCOPE_SIGNAL = 1 << 1,
};

enum { ABI_REFER = 2, ABI_TRUNCATE = 3, ABI_NET = 4, ABI_IOCTL_DEV = 5, ABI_SCOPE = 6 };

struct ruleset_attributes {
	uint64_t handled_fs;
	uint64_t handled_net; /* ABI 4 */
	uint64_t scoped;      /* ABI 6 */
};

struct path_beneath {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

struct net_port {
	uint64_t allowed;
	uint64_t port;
};

static int
landlock_abi(void)
{
	return (int)syscall(CREATE_RULESET, NULL, (size_t)0, (uint32_t)CREATE_RULESET_VERSION);
}

static struct ruleset_attributes
attributes_for(int abi, bool is_strict)
{
	/* An abstract address is where systemd may want to be notified. */
	const char *notify = getenv("NOTIFY_SOCKET");
	bool is_abstract = notify != NULL && notify[0] == '@';
	struct ruleset_attributes attributes = {.handled_fs = FS_ALL_OF_ABI_1};

	if (abi >= ABI_REFER)
		attributes.handled_fs |= FS_REFER;
	if (abi >= ABI_TRUNCATE)
		attributes.handled_fs |= FS_TRUNCATE;
	if (abi >= ABI_IOCTL_DEV)
		attributes.handled_fs |= FS_IOCTL_DEV;
	/* A reload may bring endpoints and listeners, and a primary may move, to any port. */
	if (abi >= ABI_NET && is_strict)
		attributes.handled_net = NET_CONNECT_TCP | NET_BIND_TCP;
	if (abi >= ABI_SCOPE)
		attributes.scoped = SCOPE_SIGNAL | (is_abstract ? 0 : SCOPE_ABSTRACT_UNIX_SOCKET);
	return attributes;
}

static uint64_t
rights_of(const struct reach_place *place)
{
	uint64_t rights = 0;

	if (place->rights & REACH_READ)
		rights |= FS_READ_FILE | FS_READ_DIR;
	if (place->rights & REACH_WRITE)
		rights |= FS_WRITE_FILE | FS_MAKE_REG | FS_TRUNCATE;
	if (place->rights & REACH_MAKE_SOCKET)
		rights |= FS_MAKE_SOCK;
	if (place->rights & REACH_REMOVE)
		rights |= FS_REMOVE_FILE;
	return rights;
}

/* A place that is not there needs no right: whoever opens it gets "no such file" as before. */
static bool
add_place(int ruleset, const struct reach_place *place, uint64_t handled, struct err *err)
{
	struct path_beneath rule = {.allowed = rights_of(place) & handled};
	struct stat status;
	bool is_added = true;

	if (place->is_to_be_made)
		(void)mkdir(place->path, 0700);
	rule.parent_fd = open(place->path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return true;
	if (fstat(rule.parent_fd, &status) == 0 && !S_ISDIR(status.st_mode))
		rule.allowed &= FS_OF_FILES;
	/* EBADFD: a file of the kernel's own (a pipe), which no path leads to. */
	if (rule.allowed != 0 &&
	    syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, (uint32_t)0) != 0 &&
	    errno != EBADFD)
		is_added = err_set_errno(err, errno, "Landlock does not take '%s'", place->path);
	(void)close(rule.parent_fd);
	return is_added;
}

static bool
add_ports(int ruleset, uint64_t right, const struct reach_port *ports, size_t count,
	  struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct net_port rule = {right, (uint64_t)ports[i].number};
		if (syscall(ADD_RULE, ruleset, RULE_NET_PORT, &rule, (uint32_t)0) != 0)
			return err_set_errno(err, errno, "Landlock does not take port %d",
					     ports[i].number);
	}
	return true;
}

static bool
add_rules(int ruleset, const struct reach *reach, const struct ruleset_attributes *attributes,
	  struct err *err)
{
	/* `local` binds to an address, and to port 0: any. */
	static const struct reach_port any = {.number = 0};

	for (size_t i = 0; i < reach->place_count; i++) {
		if (!add_place(ruleset, &reach->places[i], attributes->handled_fs, err))
			return false;
	}
	if ((attributes->handled_net & NET_CONNECT_TCP) != 0 &&
	    !add_ports(ruleset, NET_CONNECT_TCP, reach->connects, reach->connect_count, err))
		return false;
	return (attributes->handled_net & NET_BIND_TCP) == 0 ||
	       (add_ports(ruleset, NET_BIND_TCP, &any, 1, err) &&
		add_ports(ruleset, NET_BIND_TCP, reach->binds, reach->bind_count, err));
}

static bool
start_landlock(int abi, const struct reach *reach, bool is_strict, struct err *err)
{
	const struct ruleset_attributes attributes = attributes_for(abi, is_strict);
	/* Older kernels take a longer struct as long as the rest of it is zero. */
	int ruleset = (int)syscall(CREATE_RULESET, &attributes, sizeof attributes, (uint32_t)0);
	bool is_started = false;

	if (ruleset < 0)
		return err_set_errno(err, errno, "Landlock does not start");
	is_started = add_rules(ruleset, reach, &attributes, err);
	if (is_started && syscall(RESTRICT_SELF, ruleset, (uint32_t)0) != 0)
		is_started = err_set_errno(err, errno, "Landlock does not start");
	(void)close(ruleset);
	return is_started;
}

static void ATTR_PRINTF(2, 3) append(char text[CONFINE_TEXT_SIZE], const char *format, ...)
{
	size_t used = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	(void)snprintf(text + used, CONFINE_TEXT_SIZE - used, "%s", used > 0 ? ", " : "");
	used = strlen(text);
	(void)vsnprintf(text + used, CONFINE_TEXT_SIZE - used, format, arguments);
	va_end(arguments);
}

static void
try_landlock(const struct reach *reach, bool is_strict, struct confinement *confinement)
{
	int abi = landlock_abi();
	struct err err;

	if (abi < 1) {
		append(confinement->missing, "no Landlock (%s)",
		       errno == EOPNOTSUPP ? "the kernel has it switched off" : strerror(errno));
	} else if (start_landlock(abi, reach, is_strict, &err)) {
		append(confinement->text, "Landlock %d (files%s%s)", abi,
		       abi >= ABI_NET && is_strict ? ", TCP ports" : "",
		       abi >= ABI_SCOPE ? ", signals" : "");
		confinement->holds_reach = true;
	} else {
		append(confinement->missing, "no Landlock (%s)", err.text);
	}
}

static void
try_filter(struct confinement *confinement)
{
	struct err err;

	if (syscall_filter_start(&err))
		append(confinement->text, "system call filter");
	else
		append(confinement->missing, "no system call filter (%s)", err.text);
}

static void
give_up_privileges(struct confinement *confinement)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		append(confinement->text, "no new privileges");
	else
		append(confinement->missing, "no_new_privs (%s)", strerror(errno));
}

bool
confine_start(int sandbox, const struct reach *reach, struct confinement *ret_confinement,
	      struct err *err)
{
	struct confinement *confinement = ret_confinement;

	*confinement = (struct confinement){0};
	if (sandbox == SANDBOX_NO)
		return true;
	/* Neither core files (a limit of 0 does not keep them from a program that core_pattern
	 * names) nor debuggers of the same user get at keys and clients' data. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
		append(confinement->text, "no core files and no tracing");
	if (reach->runs != NULL) {
		/* Not even the first: sudo needs privileges, and so does what snap installs. */
		append(confinement->missing,
		       "no_new_privs, Landlock and a system call filter, because bastion '%.60s' "
		       "runs a program",
		       reach->runs->name);
	} else {
		give_up_privileges(confinement);
		try_landlock(reach, reach->is_strict, confinement);
		try_filter(confinement);
	}
	if (sandbox == SANDBOX_REQUIRE && confinement->missing[0] != '\0')
		return err_set(err, "sandbox = require: %s; write sandbox = yes to run with less",
			       confinement->missing);
	return true;
}
