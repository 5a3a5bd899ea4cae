#include "base/log_json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Writes as long as there is room, and keeps some to close the object. */
struct json_text {
	char *out;
	size_t size;
	size_t length;
};

enum { CLOSING_SIZE = 2 };

/* All of it, or nothing. */
static bool ATTR_PRINTF(2, 3) append(struct json_text *text, const char *format, ...)
{
	size_t room = text->size - CLOSING_SIZE - text->length;
	va_list arguments;

	va_start(arguments, format);
	int written = vsnprintf(text->out + text->length, room, format, arguments);
	va_end(arguments);
	if (written < 0 || (size_t)written >= room) {
		text->out[text->length] = '\0';
		return false;
	}
	text->length += (size_t)written;
	return true;
}

/* Writes `value` in quotes, cut where there is no room for more. */
static void
append_quoted(struct json_text *text, const char *value)
{
	if (!append(text, "\""))
		return;
	for (; *value != '\0'; value++) {
		/* The closing quote must still fit. */
		if (text->length + CLOSING_SIZE + 4 > text->size)
			break;
		bool is_printable = *value >= ' ' && *value <= '~';
		if (*value == '"' || *value == '\\')
			text->out[text->length++] = '\\';
		text->out[text->length++] = is_printable ? *value : '.'; /* as text_escape() */
		text->out[text->length] = '\0';
	}
	(void)append(text, "\"");
}

static void
append_member(struct json_text *text, const char *name, const char *value)
{
	size_t before = text->length;

	if (value == NULL || value[0] == '\0')
		return;
	/* Name and quotes fit, and a bit of the value; or nothing. */
	if (text->length + strlen(name) + 16 > text->size || !append(text, ",\"%s\":", name)) {
		text->length = before;
		text->out[before] = '\0';
		return;
	}
	append_quoted(text, value);
}

static void
append_time(struct json_text *text, struct timespec when)
{
	struct tm parts;
	char date[32] = "";

	(void)gmtime_r(&when.tv_sec, &parts);
	(void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
	(void)append(text, "{\"time\":\"%s.%03ldZ\"", date, when.tv_nsec / 1000000);
}

static void
append_facts(struct json_text *text, const struct log_facts *facts)
{
	append_member(text, "service", facts->service);
	append_member(text, "peer", facts->peer);
	append_member(text, "endpoint", facts->endpoint);
	append_member(text, "server", facts->server);
	append_member(text, "security", facts->security);
	if (facts->has_bytes)
		(void)append(text, ",\"bytes_to_server\":%llu,\"bytes_to_client\":%llu",
			     (unsigned long long)facts->bytes_to_server,
			     (unsigned long long)facts->bytes_to_client);
	if (facts->connect_us > 0)
		(void)append(text, ",\"connect_ms\":%.1f", (double)facts->connect_us / 1e3);
	if (facts->open_us > 0)
		(void)append(text, ",\"open_s\":%.3f", (double)facts->open_us / 1e6);
}

char *
log_json_format(const struct log_json_line *line, char *out, size_t size)
{
	static const char *const levels[] = {"emergency", "alert",  "critical", "error",
					     "warning",   "notice", "info",     "debug"};
	struct json_text text = {out, size, 0};

	append_time(&text, line->when);
	append_member(&text, "level", levels[line->level]);
	append_member(&text, "id", line->id);
	if (line->facts != NULL)
		append_facts(&text, line->facts);
	if (line->repeated > 0)
		(void)append(&text, ",\"repeated\":%lu", line->repeated);
	append_member(&text, "message", line->message);
	text.out[text.length] = '}';
	text.out[text.length + 1] = '\0';
	return out;
}
