#ifndef CACHETUNNEL_BASE_LOG_JSON_H
#define CACHETUNNEL_BASE_LOG_JSON_H

#include "base/log.h"

#include <time.h>

/*
 * A line of the log as a JSON object (RFC 8259), the same names everywhere: time (RFC 3339, UTC),
 * level, id, message, and what else is known. What does not print becomes '.', as everywhere in the
 * log, so that two escapes are left, which need no library for every line of every tunnel.
 */

enum { LOG_JSON_SIZE = 4096 };

/* All borrowed for the call. */
struct log_json_line {
	struct timespec when;
	enum log_level level;
	const char *id;
	const char *message;
	const struct log_facts *facts; /* NULL: none */
	unsigned long repeated;        /* the message stands for so many more; 0: it does not */
};

/* Writes the object without an end of line. What does not fit is left out; it is an object all
 * the same. Returns `out`. */
char *log_json_format(const struct log_json_line *line, char *out, size_t size);

#endif
