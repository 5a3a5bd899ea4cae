#ifndef CACHETUNNEL_LOG_OPTIONS_H
#define CACHETUNNEL_LOG_OPTIONS_H

#include "base/err.h"
#include "config/options.h"
#include "config/report.h"

#include <stdbool.h>

/* What the configuration says about the log, made so; and a report, told to the log. */

/* At start: level and syslog. The file follows with log_options_open(), once privileges are
 * dropped. */
void log_options_begin(const struct global_options *options, bool is_foreground);
bool log_options_open(const struct global_options *options, struct err *err) ATTR_MUST_CHECK;

/* By a reload: from what `before` says to what `after` does. False: the file cannot be opened, and
 * nothing has changed. */
bool log_options_change(const struct global_options *before, const struct global_options *after,
			struct err *err) ATTR_MUST_CHECK;

/* Logs the report's entries from `worst` to `mildest`. */
void log_options_tell(const struct report *report, enum report_level worst,
		      enum report_level mildest);

#endif
