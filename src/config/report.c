#include "config/report.h"

#include "base/text.h"
#include "config/array.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY_SIZE = 2048, LEVELS = REPORT_NOTE + 1 };

struct report {
	struct report_entry *entries;
	size_t count;
	size_t level_counts[LEVELS];
};

struct report *
report_new(void)
{
	return memory_zero(sizeof(struct report));
}

void
report_free(struct report *report)
{
	if (report == NULL)
		return;
	for (size_t i = 0; i < report->count; i++)
		free(report->entries[i].text);
	free(report->entries);
	free(report);
}

static size_t
write_place(char *out, size_t size, struct location at)
{
	int length = 0;

	if (at.file != NULL && at.line > 0)
		length = snprintf(out, size, "%.512s:%u: ", at.file, at.line);
	else if (at.file != NULL)
		length = snprintf(out, size, "%.512s: ", at.file);
	return length > 0 ? (size_t)length : 0;
}

void
report_add(struct report *report, enum report_level level, struct location at, const char *format,
	   ...)
{
	char raw[ENTRY_SIZE];
	char text[ENTRY_SIZE];
	size_t used = write_place(raw, sizeof raw, at);

	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(raw + used, sizeof raw - used, format, arguments);
	va_end(arguments);

	report->entries = array_make_room(report->entries, report->count, sizeof *report->entries);
	report->entries[report->count++] = (struct report_entry){
		.level = level,
		.text = memory_copy_text(text_escape(text, sizeof text, raw)),
	};
	report->level_counts[level]++;
}

size_t
report_count(const struct report *report, enum report_level level)
{
	return report->level_counts[level];
}

const struct report_entry *
report_get(const struct report *report, size_t index)
{
	return index < report->count ? &report->entries[index] : NULL;
}
