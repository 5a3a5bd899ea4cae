#include "config/option.h"

#include "base/memory.h"
#include "base/text.h"
#include "config/address.h"
#include "config/array.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool
parse_bool(const struct option_row *row, const char *text, struct location at ATTR_UNUSED,
	   void *value, struct err *err)
{
	bool *target = value;

	if (!text_equal_nocase(text, "yes") && !text_equal_nocase(text, "no"))
		return option_bad_value(row, text, err, "must be yes or no");
	*target = text_equal_nocase(text, "yes");
	return true;
}

bool
option_is_equal_bool(const void *value, const void *other)
{
	return *(const bool *)value == *(const bool *)other;
}

bool
option_is_equal_int(const void *value, const void *other)
{
	return *(const int *)value == *(const int *)other;
}

const struct option_type option_type_bool = {
	.name = "yes|no",
	.parse = parse_bool,
	.is_equal = option_is_equal_bool,
};

static bool
parse_int(const struct option_row *row, const char *text, struct location at ATTR_UNUSED,
	  void *value, struct err *err)
{
	int *target = value;
	long number = 0;

	if (!text_to_long(text, row->min, row->max, &number))
		return option_bad_value(
			row, text, err, "must be a whole number from %ld to %ld%s%s", row->min,
			row->max, row->unit != NULL ? " " : "", row->unit != NULL ? row->unit : "");
	*target = (int)number;
	return true;
}

/* The row's bounds are in seconds. */
static bool
parse_interval(const struct option_row *row, const char *text, struct location at ATTR_UNUSED,
	       void *value, struct err *err)
{
	int *target = value;
	long number = 0;
	char digits[16];
	size_t length = strlen(text);
	bool is_ms = length > 2 && length < sizeof digits && strcmp(text + length - 2, "ms") == 0;
	int unit = is_ms ? 1 : 1000;

	(void)snprintf(digits, sizeof digits, "%.*s", is_ms ? (int)length - 2 : (int)length, text);
	if (length >= sizeof digits ||
	    !text_to_long(digits, row->min * 1000 / unit, row->max * 1000 / unit, &number))
		return option_bad_value(row, text, err,
					"must be a whole number from %ld to %ld s, or of "
					"milliseconds with ms behind it",
					row->min, row->max);
	*target = (int)number * unit;
	return true;
}

static void
init_optional_int(void *value)
{
	*(int *)value = -1;
}

const struct option_type option_type_int = {
	.name = "number",
	.parse = parse_int,
	.is_equal = option_is_equal_int,
};
const struct option_type option_type_seconds = {
	.name = "seconds",
	.parse = parse_int,
	.is_equal = option_is_equal_int,
};
const struct option_type option_type_interval = {
	.name = "seconds",
	.parse = parse_interval,
	.is_equal = option_is_equal_int,
};
const struct option_type option_type_optional_int = {
	.name = "number",
	.parse = parse_int,
	.init = init_optional_int,
	.is_equal = option_is_equal_int,
};

static bool
bad_choice(const struct option_row *row, const char *text, struct err *err)
{
	char names[ERR_TEXT_SIZE / 2];
	size_t used = 0;

	for (const struct option_choice *choice = row->choices; choice->name != NULL; choice++) {
		const char *before = choice == row->choices   ? ""
				     : choice[1].name == NULL ? " or "
							      : ", ";
		int added = snprintf(names + used, sizeof names - used, "%s%s", before,
				     choice->name);
		if (added < 0 || (size_t)added >= sizeof names - used)
			break;
		used += (size_t)added;
	}
	return option_bad_value(row, text, err, "must be %s", names);
}

static const struct option_choice *
find_choice(const struct option_row *row, const char *text)
{
	for (const struct option_choice *choice = row->choices; choice->name != NULL; choice++) {
		if (text_equal_nocase(choice->name, text))
			return choice;
	}
	return NULL;
}

static bool
parse_choice(const struct option_row *row, const char *text, struct location at ATTR_UNUSED,
	     void *value, struct err *err)
{
	const struct option_choice *choice = find_choice(row, text);

	if (choice == NULL)
		return bad_choice(row, text, err);
	*(int *)value = choice->value;
	return true;
}

/* Several, divided by commas. */
static bool
parse_choices(const struct option_row *row, const char *text, struct location at ATTR_UNUSED,
	      void *value, struct err *err)
{
	char word[64];
	unsigned set = 0;

	for (const char *next = text;;) {
		size_t length = strcspn(next, ",");
		if (length >= sizeof word)
			return bad_choice(row, text, err);
		memcpy(word, next, length);
		word[length] = '\0';
		const struct option_choice *choice = find_choice(row, text_trim(word));
		if (choice == NULL)
			return bad_choice(row, text, err);
		set |= (unsigned)choice->value;
		if (next[length] == '\0')
			break;
		next += length + 1;
	}
	*(int *)value = (int)set;
	return true;
}

static bool
parse_choice_bool(const struct option_row *row, const char *text, struct location at ATTR_UNUSED,
		  void *value, struct err *err)
{
	const struct option_choice *choice = find_choice(row, text);

	if (choice == NULL)
		return bad_choice(row, text, err);
	*(bool *)value = choice->value != 0;
	return true;
}

const struct option_type option_type_choice = {
	.name = "choice",
	.parse = parse_choice,
	.is_equal = option_is_equal_int,
};
const struct option_type option_type_choices = {
	.name = "choices",
	.parse = parse_choices,
	.is_equal = option_is_equal_int,
};
const struct option_type option_type_choice_bool = {
	.name = "choice",
	.parse = parse_choice_bool,
	.is_equal = option_is_equal_bool,
};

static bool
parse_text(const struct option_row *row ATTR_UNUSED, const char *text,
	   struct location at ATTR_UNUSED, void *value, struct err *err ATTR_UNUSED)
{
	char **target = value;

	free(*target);
	*target = memory_copy_text(text);
	return true;
}

static bool
parse_word(const struct option_row *row, const char *text, struct location at, void *value,
	   struct err *err)
{
	if (*text == '\0')
		return err_set(err, "the value is empty");
	return parse_text(row, text, at, value, err);
}

static void
clear_text(void *value)
{
	char **target = value;

	free(*target);
	*target = NULL;
}

static bool
is_same_text(const char *text, const char *other)
{
	return text == NULL || other == NULL ? text == other : strcmp(text, other) == 0;
}

bool
option_is_equal_text(const void *value, const void *other)
{
	return is_same_text(*(char *const *)value, *(char *const *)other);
}

const struct option_type option_type_text = {
	.name = "text",
	.parse = parse_text,
	.clear = clear_text,
	.is_equal = option_is_equal_text,
};
const struct option_type option_type_word = {
	.name = "text",
	.parse = parse_word,
	.clear = clear_text,
	.is_equal = option_is_equal_text,
};
const struct option_type option_type_path = {
	.name = "path",
	.parse = parse_word,
	.clear = clear_text,
	.is_equal = option_is_equal_text,
};

static bool
parse_texts(const struct option_row *row ATTR_UNUSED, const char *text, struct location at,
	    void *value, struct err *err)
{
	struct text_list *list = value;

	if (*text == '\0')
		return err_set(err, "the value is empty");
	list->items = array_make_room(list->items, list->count, sizeof *list->items);
	list->items[list->count++] = (struct text_item){.text = memory_copy_text(text), .at = at};
	return true;
}

static bool
parse_ips(const struct option_row *row, const char *text, struct location at, void *value,
	  struct err *err)
{
	struct in6_addr ignored;

	if (inet_pton(AF_INET, text, &ignored) != 1 && inet_pton(AF_INET6, text, &ignored) != 1)
		return option_bad_value(row, text, err, "must be an IPv4 or IPv6 address");
	return parse_texts(row, text, at, value, err);
}

static void
clear_texts(void *value)
{
	struct text_list *list = value;

	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].text);
	free(list->items);
	*list = (struct text_list){0};
}

bool
option_is_equal_texts(const void *value, const void *other)
{
	const struct text_list *list = value;
	const struct text_list *others = other;

	if (list->count != others->count)
		return false;
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i].text, others->items[i].text) != 0)
			return false;
	}
	return true;
}

const struct option_type option_type_texts = {
	.name = "text",
	.parse = parse_texts,
	.clear = clear_texts,
	.is_equal = option_is_equal_texts,
};
const struct option_type option_type_ips = {
	.name = "ip",
	.parse = parse_ips,
	.clear = clear_texts,
	.is_equal = option_is_equal_texts,
};

static bool
parse_addresses(const struct option_row *row ATTR_UNUSED, const char *text, struct location at,
		void *value, struct err *err)
{
	struct address_list *list = value;
	struct address address;

	if (!address_parse(text, &address, err))
		return false;
	address.at = at;
	list->items = array_make_room(list->items, list->count, sizeof *list->items);
	list->items[list->count++] = address;
	return true;
}

static void
clear_addresses(void *value)
{
	struct address_list *list = value;

	for (size_t i = 0; i < list->count; i++)
		address_done(&list->items[i]);
	free(list->items);
	*list = (struct address_list){0};
}

static bool
is_equal_addresses(const void *value, const void *other)
{
	const struct address_list *list = value;
	const struct address_list *others = other;

	if (list->count != others->count)
		return false;
	for (size_t i = 0; i < list->count; i++) {
		const struct address *item = &list->items[i];
		const struct address *its = &others->items[i];
		if (!is_same_text(item->host, its->host) || !is_same_text(item->port, its->port) ||
		    !is_same_text(item->path, its->path))
			return false;
	}
	return true;
}

const struct option_type option_type_addresses = {
	.name = "[host:]port|path",
	.parse = parse_addresses,
	.clear = clear_addresses,
	.is_equal = is_equal_addresses,
};
