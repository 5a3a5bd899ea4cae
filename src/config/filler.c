#include "config/filler.h"

#include "base/memory.h"
#include "base/text.h"

enum { SHOWN_SIZE = 60 };

struct location *
filler_new_locations(const struct option_table *table)
{
	return memory_zero(table->count * sizeof(struct location));
}

void
filler_report_unknown(const struct option_table *const *tables, size_t count,
		      const struct assignment *item, struct report *report)
{
	char value[SHOWN_SIZE];
	const char *nearest = option_suggest(tables, count, item->name);
	const struct option_row *row = NULL;

	if (nearest == NULL) {
		report_add(report, REPORT_ERROR, item->at,
			   "unknown option '%s' in \"%s = %s\"; 'cachetunnel --options' lists all",
			   item->name, item->name, text_escape(value, sizeof value, item->value));
		return;
	}
	for (size_t i = 0; i < count && row == NULL; i++)
		row = option_find(tables[i], nearest);
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

bool
filler_apply(struct filler *filler, const struct option_row *row, const struct assignment *item,
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
