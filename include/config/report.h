#ifndef CACHETUNNEL_CONFIG_REPORT_H
#define CACHETUNNEL_CONFIG_REPORT_H

#include "base/attributes.h"
#include "config/location.h"

#include <stddef.h>

/*
 * What was found while reading a configuration and the files it names: every error, not just the
 * first, and what the user should know although it is no error. The report collects; main and
 * daemon show it.
 */

enum report_level {
	REPORT_ERROR,   /* the configuration cannot be used */
	REPORT_WARNING, /* it can, but at a risk the user should know of */
	REPORT_NOTE,    /* it can, and something in it has no effect here */
};

struct report_entry {
	enum report_level level;
	char *text; /* owned by the report; "FILE:LINE: …" where a line is known */
};

struct report; /* one thread at a time */

struct report *report_new(void);
void report_free(struct report *report); /* NULL is fine */

/* Adds an entry. `at` is copied into the text; a NULL file leaves the place out. */
void report_add(struct report *report, enum report_level level, struct location at,
		const char *format, ...) ATTR_PRINTF(4, 5);

/* How many entries have this level. */
size_t report_count(const struct report *report, enum report_level level);

/* The entry at `index`, in the order they were added, or NULL past the last. Borrowed. */
const struct report_entry *report_get(const struct report *report, size_t index);

#endif
