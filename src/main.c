#include "arguments.h"
#include "control/commands.h"
#include "control/doctor.h"
#include "daemon.h"
#include "stream/tls_memory.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2 };

static int
run_command(const struct arguments *arguments)
{
	const struct command_request request = {
		.socket_path = arguments->socket_path,
		.config_path = arguments->path,
		.is_default_path = arguments->is_default_path,
		.is_json = arguments->is_json,
		.is_watching = arguments->is_watching,
		.is_upstream = arguments->is_upstream,
		.patience_s = arguments->patience_s,
	};

	if (arguments->command == COMMAND_STATUS)
		return command_status(&request);
	if (arguments->command == COMMAND_RELOAD)
		return command_reload(&request);
	return arguments->command == COMMAND_STOP ? command_stop(&request) : command_wait(&request);
}

int
main(int argc, char **argv)
{
	struct arguments arguments;
	struct err err;

	(void)tls_memory_use_shelves();
	if (!arguments_parse(argc, argv, &arguments, &err)) {
		(void)fprintf(stderr, "cachetunnel: %s; see cachetunnel --help\n", err.text);
		return EXIT_USAGE;
	}
	switch (arguments.command) {
	case COMMAND_RUN:
		return daemon_run(&arguments);
	case COMMAND_CHECK:
		return daemon_check(&arguments);
	case COMMAND_DOCTOR:
		return doctor_run(&(struct doctor_request){
			.path = arguments.path,
			.services = arguments.services,
			.is_json = arguments.is_json,
		});
	case COMMAND_STATUS:
	case COMMAND_RELOAD:
	case COMMAND_STOP:
	case COMMAND_WAIT:
		return run_command(&arguments);
	case COMMAND_HELP:
		arguments_print_help();
		return EXIT_SUCCESS;
	case COMMAND_VERSION:
		arguments_print_version();
		return EXIT_SUCCESS;
	case COMMAND_OPTIONS:
		arguments_print_options();
		return EXIT_SUCCESS;
	}
	return EXIT_USAGE;
}
