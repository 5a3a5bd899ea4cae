#ifndef CACHETUNNEL_CONFIG_READER_H
#define CACHETUNNEL_CONFIG_READER_H

#include "base/err.h"
#include "config/location.h"

#include <stdbool.h>
#include <stdio.h>

/*
 * Reads the file format: stunnel's, which is INI with rules of its own. inih does the reading;
 * this module feeds it clean lines, one at a time, and keeps what the packaged build would lose
 * (ARCHITECTURE.md, "The reader"). It knows no option and opens no file.
 */

struct reader_events {
	/* A section begins. `name` is borrowed for the call. */
	void (*on_section)(void *arg, const char *name, struct location at);
	/* An option. Both texts are trimmed and borrowed for the call. */
	void (*on_option)(void *arg, const char *name, const char *value, struct location at);
	/* A line that is none of the format's; reading goes on. */
	void (*on_error)(void *arg, struct location at, const char *text);
};

enum { READER_LINE_SIZE = 16 * 1024 }; /* the longest line, as in stunnel, with its end */

/* Reads `stream` to its end (borrowed, not closed). Calls come in the order of the lines, all
 * before this returns. `file` names it in locations; borrowed, and must outlive them.
 * False only when reading itself failed. */
bool reader_read(FILE *stream, const char *file, const struct reader_events *events, void *arg,
		 struct err *err) ATTR_MUST_CHECK;

#endif
