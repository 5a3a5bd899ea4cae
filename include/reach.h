#ifndef CACHETUNNEL_REACH_H
#define CACHETUNNEL_REACH_H

#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * What a daemon with this configuration has to reach once it runs: folders of files that a reload
 * reads again, folders where it makes or removes something, ports of endpoints. A list, and nothing
 * more: confine.h holds the process to it. Only the main thread, or one that reloads.
 *
 * A file is listed by its folder, because whoever renews a certificate or edits a configuration
 * puts a new file in the old one's place; and by the folder that links lead to.
 */

enum reach_right {
	REACH_READ = 1 << 0,
	REACH_WRITE = 1 << 1,       /* open files for writing, and make them */
	REACH_MAKE_SOCKET = 1 << 2, /* unix sockets */
	REACH_REMOVE = 1 << 3,
};

struct reach_place {
	char *path;         /* owned; a folder, or a file that is not regular; absolute, no links */
	unsigned rights;    /* enum reach_right */
	bool is_to_be_made; /* the folder, where it is not there */
	dev_t device;       /* with the inode, what was at `path` when it was listed */
	ino_t inode;        /* 0: nothing */
	struct location at; /* the line that needs it; no file: every daemon does */
	const char *option; /* static; NULL: as above */
};

struct reach_port {
	int number;
	struct location at;
	const char *option;
};

struct reach {
	struct reach_place *places; /* owned */
	size_t place_count;
	struct reach_port *connects; /* owned; TCP ports to connect to */
	size_t connect_count;
	struct reach_port *binds; /* owned; TCP ports to listen on */
	size_t bind_count;
	bool is_strict; /* ports are held to as well: `sandbox = require` */
	/* A bastion that cannot do without running a program: its proxyCommand, or ssh for an alias,
	 * which a reload asks again. NULL: none. Borrowed from the configuration. */
	const struct bastion *runs;
};

/* `config` is borrowed, and has to outlive what is returned. Returns owned. */
struct reach *reach_of(const struct config *config);

/* NULL is fine. */
void reach_free(struct reach *reach);

/* Adds the folder of the unix socket at `path`, which is made and removed. */
void reach_add_socket(struct reach *reach, const char *path, struct location at,
		      const char *option);

/* Whether all that `wanted` lists is within `granted`. What is not goes to `report` as errors. */
bool reach_covers(const struct reach *granted, const struct reach *wanted, struct report *report);

#endif
