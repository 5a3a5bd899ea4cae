#include "arguments.h"
#include "control/doctor.h"
#include "daemon.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2 };

int
main(int argc, char **argv)
{
	struct arguments arguments;
	struct err err;

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
