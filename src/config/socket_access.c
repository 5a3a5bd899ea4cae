#include "config/socket_access.h"

#include "base/identity.h"
#include "config/array.h"

#include <stdlib.h>
#include <string.h>

enum { MODE_DIGITS_MIN = 3, MODE_DIGITS_MAX = 4 };

static void
init_mode(void *value)
{
	*(int *)value = SOCKET_MODE_UNSET;
}

static bool
parse_mode(const struct option_row *row, const char *text, struct location at ATTR_UNUSED,
	   void *value, struct err *err)
{
	size_t digits = strspn(text, "01234567");

	/* A leading zero is all that a fourth digit may be: setuid and the like mean nothing. */
	if (text[digits] != '\0' || digits < MODE_DIGITS_MIN || digits > MODE_DIGITS_MAX ||
	    (digits == MODE_DIGITS_MAX && text[0] != '0'))
		return option_bad_value(row, text, err, "must be three octal digits, such as 0660");
	*(int *)value = (int)strtol(text, NULL, 8);
	return true;
}

const struct option_type option_type_file_mode = {
	.name = "mode",
	.parse = parse_mode,
	.is_equal = option_is_equal_int,
	.init = init_mode,
};

static bool
parse_users(const struct option_row *row, const char *text, struct location at ATTR_UNUSED,
	    void *value, struct err *err)
{
	struct user_list *list = value;
	uid_t user;

	if (!identity_find_user(text, &user))
		return option_bad_value(row, text, err, "must be a user of this system");
	list->items = array_make_room(list->items, list->count, sizeof *list->items);
	list->items[list->count++] = user;
	return true;
}

static void
clear_users(void *value)
{
	struct user_list *list = value;

	free(list->items);
	*list = (struct user_list){0};
}

static bool
is_equal_users(const void *value, const void *other)
{
	const struct user_list *list = value;
	const struct user_list *second = other;

	if (list->count != second->count)
		return false;
	return list->count == 0 ||
	       memcmp(list->items, second->items, list->count * sizeof *list->items) == 0;
}

const struct option_type option_type_users = {
	.name = "user",
	.parse = parse_users,
	.is_equal = is_equal_users,
	.clear = clear_users,
};

bool
user_list_has(const struct user_list *list, uid_t user)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i] == user)
			return true;
	}
	return false;
}
