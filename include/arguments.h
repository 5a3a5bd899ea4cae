#ifndef CACHETUNNEL_ARGUMENTS_H
#define CACHETUNNEL_ARGUMENTS_H

#include "base/err.h"

#include <stdbool.h>

/* The command line. */

enum command {
	COMMAND_RUN,
	COMMAND_CHECK,
	COMMAND_HELP,
	COMMAND_VERSION,
	COMMAND_OPTIONS,
};

struct arguments {
	enum command command;
	bool is_foreground;
	const char *path; /* of the configuration; borrowed from argv, or the default */
	int fd;           /* of the configuration, where -fd says so; -1: `path` is it */
};

/* Reads `argv`. False with `err` when it cannot be understood. */
bool arguments_parse(int argc, char **argv, struct arguments *ret_arguments,
		     struct err *err) ATTR_MUST_CHECK;

/* What --help, --version and --options print, on standard output. */
void arguments_print_help(void);
void arguments_print_version(void);
void arguments_print_options(void);

#endif
