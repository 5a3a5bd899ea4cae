#include "base/log_line.h"

#include "base/log_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct log_line *
log_line_new(const struct log_saying *said, bool is_json)
{
	char text[LOG_JSON_SIZE];
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (is_json) {
		const struct log_json_line json = {
			.when = now,
			.level = said->level,
			.id = said->id,
			.message = said->text,
			.facts = said->facts,
			.repeated = said->repeated,
		};
		(void)log_json_format(&json, text, sizeof text);
	} else {
		(void)snprintf(text, sizeof text, "LOG%d[%s]: %s", (int)said->level, said->id,
			       said->text);
	}
	size_t size = strlen(text) + 1;
	struct log_line *line = malloc(sizeof *line + size);
	if (line == NULL)
		return NULL;
	list_init(&line->link);
	line->when = now.tv_sec;
	line->level = said->level;
	line->is_whole = is_json;
	memcpy(line->text, text, size);
	return line;
}

size_t
log_line_format(const struct log_line *line, char *out, size_t size)
{
	char stamp[32] = "";
	struct tm local;

	if (!line->is_whole) {
		(void)localtime_r(&line->when, &local);
		(void)strftime(stamp, sizeof stamp, "%Y.%m.%d %H:%M:%S ", &local);
	}
	return (size_t)snprintf(out, size, "%s%s\n", stamp, line->text);
}
