#ifndef CACHETUNNEL_ARGUMENTS_H
#define CACHETUNNEL_ARGUMENTS_H

#include "base/err.h"

#include <stdbool.h>

/* The command line. */

enum command {
	COMMAND_RUN,
	COMMAND_CHECK,
	COMMAND_DOCTOR,
	COMMAND_STATUS,
	COMMAND_RELOAD,
	COMMAND_STOP,
	COMMAND_WAIT,
	COMMAND_HELP,
	COMMAND_VERSION,
	COMMAND_OPTIONS,
};

struct arguments {
	enum command command;
	bool is_foreground;
	bool is_json;
	bool is_watching;            /* status --watch */
	bool is_upstream;            /* wait --upstream */
	bool is_default_path;        /* `path` was not written */
	int patience_s;              /* --for; 0: not written */
	const char *socket_path;     /* -c; borrowed from argv; NULL: not written */
	const char *path;            /* of the configuration; borrowed from argv, or the default */
	const char *const *services; /* names for a subcommand that takes some; NULL ends them */
	int fd;                      /* of the configuration, where -fd says so; -1: `path` is it */
};

/* Reads `argv`, whose order it changes, and which is borrowed. False with `err` when it cannot be understood. */
bool arguments_parse(int argc, char **argv, struct arguments *ret_arguments,
		     struct err *err) ATTR_MUST_CHECK;

/* What --help, --version and --options print, on standard output. */
void arguments_print_help(void);
void arguments_print_version(void);
void arguments_print_options(void);

#endif
