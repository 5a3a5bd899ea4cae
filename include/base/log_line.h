#ifndef CACHETUNNEL_BASE_LOG_LINE_H
#define CACHETUNNEL_BASE_LOG_LINE_H

#include "base/list.h"
#include "base/log.h"

#include <time.h>

/* For the logger itself: what is said, and the line that it becomes. */

struct log_saying {
	const char *id;
	enum log_level level;
	const char *text;              /* escaped */
	const struct log_facts *facts; /* NULL: none */
	unsigned long repeated;        /* it stands for so many more; 0: it does not */
};

struct log_line {
	struct list link;
	time_t when;
	enum log_level level;
	bool is_whole; /* needs no time in front of it: it is JSON */
	char text[];   /* "LOG5[12]: …", or an object, without an end of line */
};

/* Made now. Returns owned, for free(); NULL: no memory. */
struct log_line *log_line_new(const struct log_saying *said, bool is_json);

enum { LOG_LINE_SIZE = 4096 + 64 };

/* Writes it with its time and its end, as a file has it; LOG_LINE_SIZE holds every line. Returns
 * the length. */
size_t log_line_format(const struct log_line *line, char *out, size_t size);

#endif
