#ifndef CACHETUNNEL_TESTS_UNIT_CONFIG_TEXT_H
#define CACHETUNNEL_TESTS_UNIT_CONFIG_TEXT_H

#include "config/config.h"
#include "config/report.h"

#include <stdbool.h>
#include <stddef.h>

/* Configurations written in a test, instead of in a file. */

/* The name under which load_text() shows its text. */
extern const char config_text_name[];

/* Loads `text` as a descriptor's content. Returns the configuration if it
 * is good; NULL otherwise, with the errors in the report. */
struct config *load_text(const char *text, struct report *report);

/* A configuration that is good, with what was remarked on it. */
struct loaded {
	struct report *report;
	struct config *config;
};

/* Loads `text`, or fails the test with its first error. Unload it in the end. */
struct loaded load(const char *text);
void unload(struct loaded *loaded);

/* Whether an entry of this level contains `fragment`. */
bool report_has(const struct report *report, enum report_level level, const char *fragment);

/* Fails the test, showing the whole report, unless the text loads with or without an error, and
 * the report has an entry of `level` with `fragment` (NULL: no demand). */
void assert_loads(const char *text, enum report_level level, const char *fragment);
void assert_fails(const char *text, const char *fragment);

#endif
