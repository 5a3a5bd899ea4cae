#ifndef CACHETUNNEL_CONFIG_CONFIG_H
#define CACHETUNNEL_CONFIG_CONFIG_H

#include "config/bastion.h"
#include "config/location.h"
#include "config/options.h"
#include "config/report.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A whole configuration: read, validated, and never changed afterwards, so that any thread may
 * read it. It is reference-counted: a tunnel keeps the one it began with, whatever a reload does.
 * Nothing here touches the network or reads certificates and keys; that is for the layers above.
 * Only an ssh alias is looked up by running `ssh -G` (config/ssh_alias.h).
 */

struct service {
	char *name;
	struct location at; /* its section's line */
	size_t index;       /* its place in the configuration */
	struct service_options options;

	/* What to hop through on the way to the endpoint, of the same configuration; NULL: none. */
	const struct bastion *bastion;

	/* Whose endpoints stand in where none of its own can be reached; NULL: none. */
	const struct service *fallback;

	/* For each row of service_options_table, the line that set it last; file NULL: default. */
	struct location *set_at;
};

struct config {
	char *path; /* of the main file, for messages */
	struct global_options global;
	struct location *global_set_at; /* as in struct service, for global_options_table */
	struct service **services;
	size_t service_count;
	struct bastion **bastions; /* sections first, in their order; then those of other origin */
	size_t bastion_count;
	/* The rest is config.c's own. */
	struct config_private *own;
};

/* Reads and validates the file at `path`. Every finding goes to `report` (borrowed). Returns one
 * owned reference even if there were errors, so that the files it names can be looked at as well
 * and all errors be told at once; such a configuration must not be run. NULL only when the file
 * cannot be opened. */
struct config *config_load(const char *path, struct report *report);

/* As config_load(), from the open descriptor `fd`, which it takes and closes. */
struct config *config_load_fd(int fd, struct report *report);

/* Reads one global option's text from the file at `path`, without judging anything else in it: for
 * commands, which only want to find a daemon. `*ret_text` is owned; NULL: it is not written. False
 * with `err` when the file cannot be opened. */
bool config_read_global(const char *path, const char *name, char **ret_text,
			struct err *err) ATTR_MUST_CHECK;

/* References; any thread. config_unref() takes NULL. */
struct config *config_ref(struct config *config);
void config_unref(struct config *config);

/* The line that set the option, or the section's own line when it has its default. `name` must
 * be a service option's. */
struct location service_option_at(const struct service *service, const char *name);

/* The same for a global option; the file as a whole when it has its default. */
struct location config_option_at(const struct config *config, const char *name);

/* Whether the option was written in the file, rather than left at its default. */
bool service_option_is_set(const struct service *service, const char *name);

/* Whether a service has this name. */
bool config_has_service(const struct config *config, const char *name);

#endif
