#ifndef CACHETUNNEL_CONFIG_FILLER_H
#define CACHETUNNEL_CONFIG_FILLER_H

#include "config/option.h"
#include "config/report.h"
#include "config/source.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Fills a struct of options from assignments, by a table, and remembers the line that set each.
 * What is wrong with an assignment goes to the report. Private to this layer.
 */

struct filler {
	const struct option_table *table;
	void *target;
	struct location *set_at;  /* for each row, over all sections */
	struct location *seen_at; /* for each row, within the section */
};

/* Room for a location per row, all zero. Returns owned, for free(). */
struct location *filler_new_locations(const struct option_table *table);

/* Applies one assignment to its row. False when it is an error, which has been reported. */
bool filler_apply(struct filler *filler, const struct option_row *row,
		  const struct assignment *item, struct report *report);

/* Reports a name that no table has, with the nearest one of `tables`, the best first. */
void filler_report_unknown(const struct option_table *const *tables, size_t count,
			   const struct assignment *item, struct report *report);

#endif
