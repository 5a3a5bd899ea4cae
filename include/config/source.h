#ifndef CACHETUNNEL_CONFIG_SOURCE_H
#define CACHETUNNEL_CONFIG_SOURCE_H

#include "config/location.h"
#include "config/report.h"

#include <stddef.h>
#include <stdio.h>

/*
 * What the configuration files say, in their order and not yet judged: sections and the
 * assignments in them, with included folders read in their place. It knows the names of two
 * things only, sections and `include`. Private to this layer.
 */

struct assignment {
	char *name;
	char *value;
	struct location at;
};

struct section {
	char *name; /* NULL: what stands above the first [section] */
	struct location at;
	struct assignment *items;
	size_t count;
	const char *last_file; /* of the last assignment */
};

struct source {
	struct section *sections; /* the first is what stands above the first [section] */
	size_t count;
	char **files; /* their names; every location's `file` is one of them */
	size_t file_count;
	/* The folders being read, from the outermost. */
	const struct folder *folder;
	struct report *report; /* borrowed */
};

/* Findings of the reading go to `report`, which is borrowed until the source is freed. */
struct source *source_new(struct report *report);
void source_free(struct source *source); /* NULL is fine */

/* Reads one file, and what it includes, to its end. Takes `stream`; NULL stands for the failure
 * to open it that errno tells. `name` is copied. */
void source_read(struct source *source, const char *name, FILE *stream);

/* Frees everything but the names of the files. */
void source_forget_sections(struct source *source);

#endif
