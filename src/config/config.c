#include "config/config.h"

#include "base/memory.h"
#include "base/text.h"
#include "config/array.h"
#include "config/bastions.h"
#include "config/filler.h"
#include "config/source.h"
#include "config/validate.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct config_private {
	atomic_size_t references;
	struct source *source; /* keeps the names of the files */
};

static const struct option_table *const all_tables[] = {
	&service_options_table,
	&global_options_table,
	&bastion_options_table,
};

/* An option that neither the service's nor the global table has. */
static void
report_stranger(const struct assignment *item, struct report *report)
{
	if (option_find(&bastion_options_table, item->name) != NULL)
		report_add(report, REPORT_ERROR, item->at,
			   "'%s' is a bastion's option; move it into a section [bastion NAME]",
			   item->name);
	else
		filler_report_unknown(all_tables, ARRAY_LENGTH(all_tables), item, report);
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
		.seen_at = filler_new_locations(&global_options_table),
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
			report_stranger(item, report);
		else
			is_default = filler_apply(filler, row, item, report) &&
				     filler == defaults && row->treatment == OPTION_HONOURED;
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
		.seen_at = filler_new_locations(&service_options_table),
	};

	for (size_t i = 0; i < section->count; i++) {
		const struct assignment *item = &section->items[i];
		const struct option_row *row = option_find(filler.table, item->name);
		if (row != NULL)
			(void)filler_apply(&filler, row, item, report);
		else if (option_find(&global_options_table, item->name) != NULL)
			report_add(report, REPORT_ERROR, item->at,
				   "'%s' is not valid inside a section; move it above the first "
				   "[section]",
				   item->name);
		else
			report_stranger(item, report);
	}
	free(filler.seen_at);
}

static struct service *
new_service(const struct section *section)
{
	struct service *service = memory_zero(sizeof *service);

	service->name = memory_copy_text(section->name);
	service->at = section->at;
	service->set_at = filler_new_locations(&service_options_table);
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

static void
add_service(struct config *config, const struct section *section, const struct service *trial,
	    struct report *report)
{
	struct service *service = new_service(section);

	service->index = config->service_count;
	config->services = array_make_room(config->services, config->service_count,
					   sizeof(struct service *));
	config->services[config->service_count++] = service;
	memcpy(service->set_at, trial->set_at,
	       service_options_table.count * sizeof *service->set_at);
	replay_defaults(&config->own->source->sections[0], service);
	fill_service(service, section, report);
	validate_service(service, trial->set_at, report);
}

/* Turns what the files say into the configuration. */
static void
build(struct config *config, struct report *report)
{
	struct source *source = config->own->source;
	struct section *globals = &source->sections[0];
	struct bastions *bastions = bastions_new(config, report);
	/* Never used for a tunnel: it only tells good defaults from bad ones. */
	struct service *trial = new_service(globals);
	struct filler defaults = {
		.table = &service_options_table,
		.target = &trial->options,
		.set_at = trial->set_at,
		.seen_at = filler_new_locations(&service_options_table),
	};

	option_set_defaults(&global_options_table, &config->global);
	fill_globals(config, globals, &defaults, report);
	validate_global(config, report);
	for (size_t i = 1; i < source->count; i++) {
		if (bastions_is_section(source->sections[i].name))
			bastions_add_section(bastions, &source->sections[i]);
		else
			add_service(config, &source->sections[i], trial, report);
	}
	bastions_resolve(bastions);
	validate_services(config, report);
	validate_bastions(config, report);
	free(defaults.seen_at);
	free_service(trial);
	bastions_free(bastions);
	source_forget_sections(source);
}

/* Takes `stream`, which may be NULL with errno set. */
static struct config *
load(const char *name, FILE *stream, struct report *report)
{
	int error = errno;
	struct config *config = memory_zero(sizeof *config);

	config->path = memory_copy_text(name);
	config->global_set_at = filler_new_locations(&global_options_table);
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

bool
config_read_global(const char *path, const char *name, char **ret_text, struct err *err)
{
	FILE *stream = fopen(path, "r");
	struct report *report;
	struct source *source;

	*ret_text = NULL;
	if (stream == NULL)
		return err_set_errno(err, errno, "cannot open '%s'", path);
	report = report_new();
	source = source_new(report);
	source_read(source, path, stream);
	const struct section *globals = &source->sections[0];
	for (size_t i = 0; i < globals->count; i++) {
		if (!text_equal_nocase(globals->items[i].name, name))
			continue;
		free(*ret_text);
		*ret_text = memory_copy_text(globals->items[i].value);
	}
	source_free(source);
	report_free(report);
	return true;
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
	for (size_t i = 0; i < config->bastion_count; i++)
		bastions_free_one(config->bastions[i]);
	free(config->bastions);
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
bastion_option_at(const struct bastion *bastion, const char *name)
{
	const struct location *at = find_location(&bastion_options_table, bastion->set_at, name);

	return at->file != NULL ? *at : bastion->at;
}

struct location
config_option_at(const struct config *config, const char *name)
{
	const struct location *at = find_location(&global_options_table, config->global_set_at,
						  name);

	return at->file != NULL ? *at : (struct location){.file = config->path};
}

bool
bastion_option_is_set(const struct bastion *bastion, const char *name)
{
	return find_location(&bastion_options_table, bastion->set_at, name)->file != NULL;
}

bool
service_option_is_set(const struct service *service, const char *name)
{
	return find_location(&service_options_table, service->set_at, name)->file != NULL;
}

bool
config_has_service(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->service_count; i++) {
		if (strcmp(config->services[i]->name, name) == 0)
			return true;
	}
	return false;
}
