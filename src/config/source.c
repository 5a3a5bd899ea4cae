#include "config/source.h"

#include "base/memory.h"
#include "base/text.h"
#include "config/array.h"
#include "config/reader.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FOLDER_DEPTH_MAX = 8 };

/* A folder being read; lives on the stack of whoever reads it. */
struct folder {
	const struct folder *outer;
	dev_t device;
	ino_t inode;
	unsigned depth;
};

static void
begin_section(struct source *source, const char *name, struct location at)
{
	source->sections = array_make_room(source->sections, source->count,
					   sizeof *source->sections);
	source->sections[source->count++] = (struct section){
		.name = memory_copy_text(name),
		.at = at,
		.last_file = at.file,
	};
}

struct source *
source_new(struct report *report)
{
	struct source *source = memory_zero(sizeof *source);

	source->report = report;
	begin_section(source, NULL, (struct location){0});
	return source;
}

void
source_forget_sections(struct source *source)
{
	for (size_t i = 0; i < source->count; i++) {
		struct section *section = &source->sections[i];
		for (size_t j = 0; j < section->count; j++) {
			free(section->items[j].name);
			free(section->items[j].value);
		}
		free(section->items);
		free(section->name);
	}
	free(source->sections);
	source->sections = NULL;
	source->count = 0;
	source->report = NULL;
}

void
source_free(struct source *source)
{
	if (source == NULL)
		return;
	source_forget_sections(source);
	for (size_t i = 0; i < source->file_count; i++)
		free(source->files[i]);
	free(source->files);
	free(source);
}

static int
compare_names(const struct dirent **left, const struct dirent **right)
{
	return strcmp((*left)->d_name, (*right)->d_name);
}

static void
read_folder_file(struct source *source, const char *folder, const char *name, struct location at)
{
	struct stat status;
	char *path = memory_format("%s/%s", folder, name);

	if (stat(path, &status) != 0)
		report_add(source->report, REPORT_ERROR, at, "cannot include '%.256s': %s", path,
			   strerror(errno));
	else if (S_ISREG(status.st_mode))
		source_read(source, path, fopen(path, "r"));
	free(path);
}

static void
read_folder_files(struct source *source, const char *path, struct location at)
{
	struct dirent **names = NULL;
	int count = scandir(path, &names, NULL, compare_names);

	if (count < 0) {
		report_add(source->report, REPORT_ERROR, at,
			   "cannot read the directory '%.256s': %s", path, strerror(errno));
		return;
	}
	for (int i = 0; i < count; i++) {
		read_folder_file(source, path, names[i]->d_name, at);
		free(names[i]);
	}
	free(names);
}

static void
read_folder(struct source *source, const char *path, struct location at)
{
	struct stat status;
	struct folder folder = {
		.outer = source->folder,
		.depth = source->folder != NULL ? source->folder->depth + 1 : 1,
	};

	if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
		report_add(source->report, REPORT_ERROR, at,
			   "cannot include '%.256s': it is not a directory that can be read", path);
		return;
	}
	folder.device = status.st_dev;
	folder.inode = status.st_ino;
	for (const struct folder *outer = folder.outer; outer != NULL; outer = outer->outer) {
		if (outer->device == folder.device && outer->inode == folder.inode) {
			report_add(source->report, REPORT_ERROR, at,
				   "cannot include '%.256s': it includes itself", path);
			return;
		}
	}
	if (folder.depth > FOLDER_DEPTH_MAX) {
		report_add(source->report, REPORT_ERROR, at,
			   "cannot include '%.256s': more than %d directories include each other",
			   path, FOLDER_DEPTH_MAX);
		return;
	}
	source->folder = &folder;
	read_folder_files(source, path, at);
	source->folder = folder.outer;
}

static void
on_section(void *arg, const char *name, struct location at)
{
	begin_section(arg, name, at);
}

static void
on_option(void *arg, const char *name, const char *value, struct location at)
{
	struct source *source = arg;
	struct section *section = &source->sections[source->count - 1];

	if (section->name != NULL && section->last_file != at.file)
		report_add(source->report, REPORT_WARNING, at,
			   "this and what follows belongs to [%.80s] of %.256s:%u, whose file was "
			   "read before; begin a section, or move it above the include",
			   section->name, section->at.file, section->at.line);
	section->last_file = at.file;
	section->items = array_make_room(section->items, section->count, sizeof *section->items);
	section->items[section->count++] = (struct assignment){
		.name = memory_copy_text(name),
		.value = memory_copy_text(value),
		.at = at,
	};
	if (section->name == NULL && text_equal_nocase(name, "include") && *value != '\0')
		read_folder(source, value, at);
}

static void
on_error(void *arg, struct location at, const char *text)
{
	struct source *source = arg;

	report_add(source->report, REPORT_ERROR, at, "%s", text);
}

void
source_read(struct source *source, const char *name, FILE *stream)
{
	static const struct reader_events events = {
		.on_section = on_section,
		.on_option = on_option,
		.on_error = on_error,
	};
	int error = errno;
	struct err err;

	source->files = array_make_room(source->files, source->file_count, sizeof *source->files);
	char *file = memory_copy_text(name);
	source->files[source->file_count++] = file;
	if (stream == NULL) {
		report_add(source->report, REPORT_ERROR, (struct location){.file = file},
			   "cannot open the file: %s", strerror(error));
		return;
	}
	if (!reader_read(stream, file, &events, source, &err))
		report_add(source->report, REPORT_ERROR, (struct location){.file = file}, "%s",
			   err.text);
	(void)fclose(stream);
}
