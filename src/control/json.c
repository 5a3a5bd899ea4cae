#include "control/json.h"

#include "base/text.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <time.h>

enum { TEXT_SIZE = 2048 }; /* longer than any text that is told */

json_t *
json_text(const char *text)
{
	char clean[TEXT_SIZE];

	return text == NULL ? json_null() : json_string(text_to_utf8(clean, sizeof clean, text));
}

json_t *
json_moment(int64_t wall_ms)
{
	time_t second = (time_t)(wall_ms / 1000);
	char date[32];
	char text[48];
	struct tm parts;

	if (wall_ms == 0 || gmtime_r(&second, &parts) == NULL)
		return json_null();
	(void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
	(void)snprintf(text, sizeof text, "%s.%03dZ", date, (int)(wall_ms % 1000));
	return json_string(text);
}

long long
json_number_of(const json_t *object, const char *name)
{
	return (long long)json_number_value(json_object_get(object, name));
}

static int
append(const char *bytes, size_t length, void *arg)
{
	return evbuffer_add(arg, bytes, length);
}

bool
json_write(json_t *value, struct evbuffer *out)
{
	bool is_written = value != NULL &&
			  json_dump_callback(value, append, out, JSON_COMPACT) == 0 &&
			  evbuffer_add(out, "\n", 1) == 0;

	json_decref(value);
	return is_written;
}
