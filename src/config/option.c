#include "config/option.h"

#include "base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_SIZE = 80 };

const struct option_row *
option_find(const struct option_table *table, const char *name)
{
	for (size_t i = 0; i < table->count; i++) {
		if (text_equal_nocase(table->rows[i].name, name))
			return &table->rows[i];
	}
	return NULL;
}

const char *
option_suggest(const struct option_table *const *tables, size_t count, const char *name)
{
	const char *nearest = NULL;
	size_t length = strlen(name);
	/* A third of the letters may be wrong: more would suggest what nobody meant. */
	unsigned limit = length < 3 ? 1 : length > 12 ? 4 : (unsigned)length / 3;

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < tables[i]->count; j++) {
			const char *candidate = tables[i]->rows[j].name;
			if (strlen(candidate) > length + limit ||
			    strlen(candidate) + limit < length)
				continue;
			unsigned distance = text_distance(candidate, name);
			if (distance <= limit) {
				nearest = candidate;
				if (distance == 0)
					return nearest;
				limit = distance - 1; /* the first of equals stays */
			}
		}
	}
	return nearest;
}

static void *
place_of(const struct option_row *row, void *target)
{
	return (char *)target + row->offset;
}

static const void *
value_of(const struct option_row *row, const void *target)
{
	return (const char *)target + row->offset;
}

bool
option_set(const struct option_row *row, const char *text, struct location at, void *target,
	   struct err *err)
{
	assert(row->treatment == OPTION_HONOURED);
	return row->type->parse(row, text, at, place_of(row, target), err);
}

bool
option_is_harmless(const struct option_row *row, const char *text)
{
	const char *next = row->harmless;
	char value[SHOWN_SIZE];

	while (next != NULL) {
		size_t length = strcspn(next, "|");
		assert(length < sizeof value);
		memcpy(value, next, length);
		value[length] = '\0';
		if (text_equal_nocase(value, text))
			return true;
		next = next[length] == '|' ? next + length + 1 : NULL;
	}
	return false;
}

bool
option_bad_value(const struct option_row *row, const char *text, struct err *err,
		 const char *format, ...)
{
	char shown[SHOWN_SIZE];
	char right[ERR_TEXT_SIZE];

	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(right, sizeof right, format, arguments);
	va_end(arguments);

	if ((row->flags & OPTION_SECRET) != 0)
		return err_set(err, "the value %s", right);
	return err_set(err, "'%s' %s", text_escape(shown, sizeof shown, text), right);
}

void
option_set_defaults(const struct option_table *table, void *target)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option_row *row = &table->rows[i];
		if (row->treatment != OPTION_HONOURED)
			continue;
		if (row->type->init != NULL)
			row->type->init(place_of(row, target));
		if (row->fallback != NULL) {
			bool is_good = option_set(row, row->fallback, (struct location){0}, target,
						  NULL);
			assert(is_good);
			(void)is_good;
		}
	}
}

void
option_clear_all(const struct option_table *table, void *target)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option_row *row = &table->rows[i];
		if (row->treatment == OPTION_HONOURED && row->type->clear != NULL)
			row->type->clear(place_of(row, target));
	}
}

bool
option_is_equal(const struct option_row *row, const void *target, const void *other)
{
	return row->type->is_equal(value_of(row, target), value_of(row, other));
}

bool
option_are_all_equal(const struct option_table *table, const void *target, const void *other)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option_row *row = &table->rows[i];
		if (row->treatment == OPTION_HONOURED && !option_is_equal(row, target, other))
			return false;
	}
	return true;
}
