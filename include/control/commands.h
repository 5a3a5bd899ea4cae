#ifndef CACHETUNNEL_CONTROL_COMMANDS_H
#define CACHETUNNEL_CONTROL_COMMANDS_H

#include <stdbool.h>

/*
 * The subcommands that speak to a running daemon, over its control socket: each does its work, says
 * on the terminal what came of it, and returns the exit status, 0 or 1.
 */

struct command_request {
	const char *socket_path; /* NULL: the one that the file means */
	const char *config_path;
	bool is_default_path; /* nobody wrote it, so that it may be missing */
	bool is_json;         /* status: no table, even on a terminal */
	bool is_watching;     /* status: again and again, until interrupted */
	bool is_upstream;     /* wait: until the endpoints have answered, too */
	int patience_s;       /* wait, stop: so long at most; 0: the command's default */
};

/* Shows the status: as a table on a terminal, else as JSON. */
int command_status(const struct command_request *request);

/* Has the configuration read anew, and shows what was found. */
int command_reload(const struct command_request *request);

/* Has the daemon stop, and returns when it has. */
int command_stop(const struct command_request *request);

/* Returns when the daemon is ready. */
int command_wait(const struct command_request *request);

#endif
