#include "log_options.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>

static int
facility_of(const struct global_options *options)
{
	return options->debug.facility >= 0 ? options->debug.facility : LOG_DAEMON;
}

void
log_options_begin(const struct global_options *options, bool is_foreground)
{
	log_set_level(&log_main, (enum log_level)options->debug.level);
	(void)snprintf(log_main.id, sizeof log_main.id, "%s", is_foreground ? "ui" : "main");
	log_use_json(options->log_format == LOG_FORMAT_JSON);
	log_set_repeat_window(options->log_repeat_s);
	if (options->use_syslog)
		log_open_syslog(options->syslog_ident, facility_of(options));
}

bool
log_options_open(const struct global_options *options, struct err *err)
{
	return options->output == NULL ||
	       log_open_file(options->output, options->log_overwrite, err) ||
	       err_wrap(err, "output");
}

static bool
change_file(const struct global_options *before, const struct global_options *after,
	    struct err *err)
{
	bool was_open = before->output != NULL;

	/* A file that stays is not emptied (log = overwrite) by a reload. */
	if (was_open && after->output != NULL && strcmp(before->output, after->output) == 0)
		return true;
	if (was_open && after->output == NULL)
		log_close_file();
	return log_options_open(after, err);
}

bool
log_options_change(const struct global_options *before, const struct global_options *after,
		   struct err *err)
{
	if (!change_file(before, after, err))
		return false;
	log_set_level(&log_main, (enum log_level)after->debug.level);
	log_use_json(after->log_format == LOG_FORMAT_JSON);
	log_set_repeat_window(after->log_repeat_s);
	if (!after->use_syslog)
		log_close_syslog();
	else if (!before->use_syslog || facility_of(before) != facility_of(after) ||
		 strcmp(before->syslog_ident, after->syslog_ident) != 0)
		log_open_syslog(after->syslog_ident, facility_of(after));
	return true;
}

void
log_options_tell(const struct report *report, enum report_level worst, enum report_level mildest)
{
	static const enum log_level levels[] = {
		[REPORT_ERROR] = LOG_LEVEL_ERROR,
		[REPORT_WARNING] = LOG_LEVEL_WARNING,
		[REPORT_NOTE] = LOG_LEVEL_NOTICE,
	};
	const struct report_entry *entry;

	for (size_t i = 0; (entry = report_get(report, i)) != NULL; i++) {
		if (entry->level >= worst && entry->level <= mildest)
			log_write(&log_main, levels[entry->level], "%s", entry->text);
	}
}
