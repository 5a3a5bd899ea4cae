#include "config/config.h"

#include "base/memory.h"
#include "base/text.h"
#include "config/array.h"
#include "config/source.h"
#include "config/validate.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN_SIZE = 60 };

struct config_private {
	atomic_size_t references;
	struct source *source; /* keeps the names of the files */
};

/* Fills one struct from the assignments of one or two sections. */
struct filler {
	const struct option_table *table;
	void *target;
	struct location *set_at;  /* for each row, over all sections */
	struct location *seen_at; /* for each row, within the section */
};

static const struct option_table *const both_tables[] = {
	&service_options_table,
	&global_options_table,
};

static struct location *
new_locations(const struct option_table *table)
{
	return memory_zero(table->count * sizeof(struct location));
}

static void
report_unknown(const struct assignment *item, struct report *report)
{
	char value[SHOWN_SIZE];
	const char *nearest = option_suggest(both_tables, ARRAY_LENGTH(both_tables), item->name);
	const struct option_row *row = NULL;

	if (nearest == NULL) {
		report_add(report, REPORT_ERROR, item->at,
			   "unknown option '%s' in \"%s = %s\"; 'cachetunnel --options' lists all",
			   item->name, item->name, text_escape(value, sizeof value, item->value));
		return;
	}
	for (size_t i = 0; i < ARRAY_LENGTH(both_tables) && row == NULL; i++)
		row = option_find(both_tables[i], nearest);
	bool is_secret = row != NULL && (row->flags & OPTION_SECRET) != 0;
	report_add(report, REPORT_ERROR, item->at,
		   "unknown option '%s' in \"%s = %s\"; did you mean '%s'?", item->name, item->name,
		   is_secret ? "..." : text_escape(value, sizeof value, item->value), nearest);
}

/* Warns when the row was set in the same section before, and remembers it. */
static void
note_repeat(struct filler *filler, const struct option_row *row, const struct assignment *item,
	    struct report *report)
{
	struct location *seen = &filler->seen_at[row - filler->table->rows];

	if (seen->file != NULL && (row->flags & OPTION_CUMULATIVE) == 0)
		report_add(report, REPORT_WARNING, item->at,
			   "'%s' replaces what %.256s:%u says; remove one of the two", row->name,
			   seen->file, seen->line);
	*seen = item->at;
}

/* Applies one assignment. False when it is an error, which has been reported. */
static bool
fill_one(struct filler *filler, const struct option_row *row, const struct assignment *item,
	 struct report *report)
{
	struct err err;

	note_repeat(filler, row, item, report);
	if (row->treatment != OPTION_HONOURED && option_is_harmless(row, item->value))
		return true;
	switch (row->treatment) {
	case OPTION_NOTED:
		report_add(report, REPORT_NOTE, item->at, "'%s' has no effect here: %s", row->name,
			   row->help);
		return true;
	case OPTION_REFUSED:
		report_add(report, REPORT_ERROR, item->at, "'%s' is not supported: %s", row->name,
			   row->help);
		return false;
	case OPTION_HONOURED:
		break;
	}
	/* A bad value was written all the same: nobody shall say that the option is missing. */
	filler->set_at[row - filler->table->rows] = item->at;
	if (option_set(row, item->value, item->at, filler->target, &err))
		return true;
	report_add(report, REPORT_ERROR, item->at, "option '%s': %s", row->name, err.text);
	return false;
}

/* What stands above the first section: global options, and defaults for the services, which
 * are tried here once so that their errors are reported once. Errors are taken out. */
static void
fill_globals(struct config *config, struct section *section, struct filler *defaults,
	     struct report *report)
{
	struct filler global = {
		.table = &global_options_table,
		.target = &config->global,
		.set_at = config->global_set_at,
		.seen_at = new_locations(&global_options_table),
	};

	for (size_t i = 0; i < section->count; i++) {
		struct assignment *item = &section->items[i];
		struct filler *filler = &global;
		const struct option_row *row = option_find(global.table, item->name);
		bool is_default = false;
		if (row == NULL) {
			filler = defaults;
			row = option_find(defaults->table, item->name);
		}
		if (row == NULL)
			report_unknown(item, report);
		else
			is_default = fill_one(filler, row, item, report) && filler == defaults &&
				     row->treatment == OPTION_HONOURED;
		if (!is_default) {
			free(item->name);
			item->name = NULL;
		}
	}
	free(global.seen_at);
}

static void
replay_defaults(const struct section *section, struct service *service)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct assignment *item = &section->items[i];
		if (item->name == NULL)
			continue;
		const struct option_row *row = option_find(&service_options_table, item->name);
		bool is_good = option_set(row, item->value, item->at, &service->options, NULL);
		assert(is_good);
		(void)is_good;
	}
}

static void
fill_service(struct service *service, const struct section *section, struct report *report)
{
	struct filler filler = {
		.table = &service_options_table,
		.target = &service->options,
		.set_at = service->set_at,
		.seen_at = new_locations(&service_options_table),
	};

	for (size_t i = 0; i < section->count; i++) {
		const struct assignment *item = &section->items[i];
		const struct option_row *row = option_find(filler.table, item->name);
		if (row != NULL)
			(void)fill_one(&filler, row, item, report);
		else if (option_find(&global_options_table, item->name) != NULL)
			report_add(report, REPORT_ERROR, item->at,
				   "'%s' is not valid inside a section; move it above the first "
				   "[section]",
				   item->name);
		else
			report_unknown(item, report);
	}
	free(filler.seen_at);
}

static struct service *
new_service(const struct section *section)
{
	struct service *service = memory_zero(sizeof *service);

	service->name = memory_copy_text(section->name);
	service->at = section->at;
	service->set_at = new_locations(&service_options_table);
	option_set_defaults(&service_options_table, &service->options);
	return service;
}

static void
free_service(struct service *service)
{
	option_clear_all(&service_options_table, &service->options);
	free(service->set_at);
	free(service->name);
	free(service);
}

/* Turns what the files say into the configuration. */
static void
build(struct config *config, struct report *report)
{
	struct source *source = config->own->source;
	struct section *globals = &source->sections[0];
	/* Never used for a tunnel: it only tells good defaults from bad ones. */
	struct service *trial = new_service(globals);
	struct filler defaults = {
		.table = &service_options_table,
		.target = &trial->options,
		.set_at = trial->set_at,
		.seen_at = new_locations(&service_options_table),
	};

	option_set_defaults(&global_options_table, &config->global);
	fill_globals(config, globals, &defaults, report);
	validate_global(config, report);
	for (size_t i = 1; i < source->count; i++) {
		struct service *service = new_service(&source->sections[i]);
		service->index = config->service_count;
		config->services = array_make_room(config->services, config->service_count,
						   sizeof(struct service *));
		config->services[config->service_count++] = service;
		memcpy(service->set_at, trial->set_at,
		       service_options_table.count * sizeof *service->set_at);
		replay_defaults(globals, service);
		fill_service(service, &source->sections[i], report);
		validate_service(service, trial->set_at, report);
	}
	validate_services(config, report);
	free(defaults.seen_at);
	free_service(trial);
	source_forget_sections(source);
}

/* Takes `stream`, which may be NULL with errno set. */
static struct config *
load(const char *name, FILE *stream, struct report *report)
{
	int error = errno;
	struct config *config = memory_zero(sizeof *config);

	config->path = memory_copy_text(name);
	config->global_set_at = new_locations(&global_options_table);
	config->own = memory_zero(sizeof *config->own);
	atomic_init(&config->own->references, 1);
	config->own->source = source_new(report);
	errno = error;
	source_read(config->own->source, name, stream);
	if (stream != NULL) {
		build(config, report);
		return config;
	}
	/* A file that cannot be opened needs no second message that it has no service. */
	config_unref(config);
	return NULL;
}

struct config *
config_load(const char *path, struct report *report)
{
	return load(path, fopen(path, "r"), report);
}

struct config *
config_load_fd(int fd, struct report *report)
{
	char *name = memory_format("descriptor %d", fd);
	FILE *stream = fdopen(fd, "r");
	int error = errno;

	if (stream == NULL)
		(void)close(fd);
	errno = error;
	struct config *config = load(name, stream, report);
	free(name);
	return config;
}

struct config *
config_ref(struct config *config)
{
	(void)atomic_fetch_add_explicit(&config->own->references, 1, memory_order_relaxed);
	return config;
}

void
config_unref(struct config *config)
{
	if (config == NULL ||
	    atomic_fetch_sub_explicit(&config->own->references, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < config->service_count; i++)
		free_service(config->services[i]);
	free(config->services);
	option_clear_all(&global_options_table, &config->global);
	free(config->global_set_at);
	source_free(config->own->source);
	free(config->own);
	free(config->path);
	free(config);
}

static const struct location *
find_location(const struct option_table *table, const struct location *set_at, const char *name)
{
	const struct option_row *row = option_find(table, name);

	assert(row != NULL);
	return &set_at[row - table->rows];
}

struct location
service_option_at(const struct service *service, const char *name)
{
	const struct location *at = find_location(&service_options_table, service->set_at, name);

	return at->file != NULL ? *at : service->at;
}

struct location
config_option_at(const struct config *config, const char *name)
{
	const struct location *at = find_location(&global_options_table, config->global_set_at,
						  name);

	return at->file != NULL ? *at : (struct location){.file = config->path};
}

bool
service_option_is_set(const struct service *service, const char *name)
{
	return find_location(&service_options_table, service->set_at, name)->file != NULL;
}
