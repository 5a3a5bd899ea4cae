#include "config/socket_options.h"

#include "base/compat.h"
#include "base/memory.h"
#include "base/text.h"
#include "config/array.h"
#include "config/options.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum value_kind {
	VALUE_FLAG, /* yes, no, 1 or 0 */
	VALUE_NUMBER,
	VALUE_LINGER, /* on or off : seconds */
	VALUE_TIME,   /* seconds [: microseconds] */
	VALUE_DEVICE, /* an interface's name */
};

struct known_option {
	const char *name;
	int level;
	int option; /* -1: not on this system */
	enum value_kind kind;
};

static const struct known_option known_options[] = {
	{"SO_DEBUG", SOL_SOCKET, SO_DEBUG, VALUE_FLAG},
	{"SO_DONTROUTE", SOL_SOCKET, SO_DONTROUTE, VALUE_FLAG},
	{"SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, VALUE_FLAG},
	{"SO_LINGER", SOL_SOCKET, SO_LINGER, VALUE_LINGER},
	{"SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE, VALUE_FLAG},
	{"SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, VALUE_NUMBER},
	{"SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, VALUE_NUMBER},
	{"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, VALUE_NUMBER},
	{"SO_SNDLOWAT", SOL_SOCKET, SO_SNDLOWAT, VALUE_NUMBER},
	{"SO_RCVTIMEO", SOL_SOCKET, SO_RCVTIMEO, VALUE_TIME},
	{"SO_SNDTIMEO", SOL_SOCKET, SO_SNDTIMEO, VALUE_TIME},
	{"SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, VALUE_FLAG},
	{"SO_BINDTODEVICE", SOL_SOCKET, COMPAT_SO_BINDTODEVICE, VALUE_DEVICE},
	{"TCP_KEEPCNT", IPPROTO_TCP, COMPAT_TCP_KEEPCNT, VALUE_NUMBER},
	{"TCP_KEEPIDLE", IPPROTO_TCP, COMPAT_TCP_KEEPIDLE, VALUE_NUMBER},
	{"TCP_KEEPINTVL", IPPROTO_TCP, COMPAT_TCP_KEEPINTVL, VALUE_NUMBER},
	{"TCP_MAXSEG", IPPROTO_TCP, TCP_MAXSEG, VALUE_NUMBER},
	{"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, VALUE_FLAG},
	{"IP_TOS", IPPROTO_IP, IP_TOS, VALUE_NUMBER},
	{"IP_TTL", IPPROTO_IP, IP_TTL, VALUE_NUMBER},
	{"IP_FREEBIND", IPPROTO_IP, COMPAT_IP_FREEBIND, VALUE_FLAG},
};

static void
store(struct socket_option *option, const void *value, size_t size)
{
	memcpy(option->value, value, size);
	option->size = size;
}

static bool
parse_flag(const char *text, int *ret_flag)
{
	*ret_flag = text_equal_nocase(text, "yes") || strcmp(text, "1") == 0;
	return *ret_flag || text_equal_nocase(text, "no") || strcmp(text, "0") == 0;
}

/* Reads FIRST[:SECOND], cutting `text` at the colon. SECOND is 0 where it may be missing. */
static bool
parse_pair(char *text, bool needs_second, long first_max, long second_max, long *ret_first,
	   long *ret_second)
{
	char *colon = strchr(text, ':');

	*ret_second = 0;
	if (colon != NULL)
		*colon = '\0';
	else if (needs_second)
		return false;
	return text_to_long(text, 0, first_max, ret_first) &&
	       (colon == NULL || text_to_long(colon + 1, 0, second_max, ret_second));
}

/* Returns what the value must be, or NULL when it was stored. `text` may be cut up. */
static const char *
parse_value(enum value_kind kind, char *text, struct socket_option *option)
{
	enum { MICROSECONDS_MAX = 999999, DEVICE_LENGTH_MAX = 15 };
	int flag = 0;
	long first = 0;
	long second = 0;

	switch (kind) {
	case VALUE_FLAG:
		if (!parse_flag(text, &flag))
			return "yes or no";
		store(option, &flag, sizeof flag);
		break;
	case VALUE_NUMBER:
		if (!text_to_long(text, 0, INT_MAX, &first))
			return "a whole number";
		flag = (int)first;
		store(option, &flag, sizeof flag);
		break;
	case VALUE_LINGER:
		if (!parse_pair(text, true, 1, INT_MAX, &first, &second))
			return "0 or 1, a colon and seconds, such as 1:60";
		store(option, &(struct linger){.l_onoff = (int)first, .l_linger = (int)second},
		      sizeof(struct linger));
		break;
	case VALUE_TIME:
		if (!parse_pair(text, false, INT_MAX, MICROSECONDS_MAX, &first, &second))
			return "SECONDS or SECONDS:MICROSECONDS";
		store(option, &(struct timeval){.tv_sec = first, .tv_usec = (int)second},
		      sizeof(struct timeval));
		break;
	case VALUE_DEVICE:
		if (*text == '\0' || strlen(text) > DEVICE_LENGTH_MAX)
			return "the name of a network interface";
		store(option, text, strlen(text) + 1);
		break;
	}
	return NULL;
}

static bool
parse_side(char letter, enum socket_side *ret_side)
{
	switch (letter) {
	case 'a':
	case 'A':
		*ret_side = SOCKET_SIDE_ACCEPT;
		return true;
	case 'l':
	case 'L':
		*ret_side = SOCKET_SIDE_LOCAL;
		return true;
	case 'r':
	case 'R':
		*ret_side = SOCKET_SIDE_REMOTE;
		return true;
	default:
		return false;
	}
}

static const struct known_option *
find_known(const char *name)
{
	for (size_t i = 0; i < ARRAY_LENGTH(known_options); i++) {
		if (text_equal_nocase(known_options[i].name, name))
			return &known_options[i];
	}
	return NULL;
}

/* `copy` holds the same as `text` and is cut up. */
static bool
parse_option(const struct option_row *row, const char *text, char *copy,
	     struct socket_option *option, struct err *err)
{
	char *equals = strchr(copy, '=');

	if (*copy == '\0' || copy[1] != ':' || equals == NULL || !parse_side(*copy, &option->side))
		return option_bad_value(row, text, err,
					"must be a (accepting socket), l (client's socket) or r "
					"(endpoint's socket), then :NAME=VALUE");
	*equals = '\0';
	const struct known_option *known = find_known(text_trim(copy + 2));
	if (known == NULL)
		return option_bad_value(row, text, err,
					"must name a socket option that is known here, such as "
					"SO_KEEPALIVE or TCP_NODELAY");
	if (known->option < 0)
		return option_bad_value(row, text, err, "must be removed: this system has no %s",
					known->name);
	option->name = known->name;
	option->level = known->level;
	option->option = known->option;
	const char *expected = parse_value(known->kind, text_trim(equals + 1), option);
	if (expected != NULL)
		return option_bad_value(row, text, err, "must give %s %s", known->name, expected);
	return true;
}

static bool
parse_socket(const struct option_row *row, const char *text, struct location at, void *value,
	     struct err *err)
{
	struct socket_option_list *list = value;
	struct socket_option option = {.at = at};
	char *copy = memory_copy_text(text);
	bool is_good = parse_option(row, text, copy, &option, err);

	free(copy);
	if (!is_good)
		return false;
	list->items = array_make_room(list->items, list->count, sizeof *list->items);
	list->items[list->count++] = option;
	return true;
}

static void
clear_socket(void *value)
{
	struct socket_option_list *list = value;

	free(list->items);
	*list = (struct socket_option_list){0};
}

static bool
is_equal_socket(const void *value, const void *other)
{
	const struct socket_option_list *list = value;
	const struct socket_option_list *others = other;

	if (list->count != others->count)
		return false;
	for (size_t i = 0; i < list->count; i++) {
		const struct socket_option *item = &list->items[i];
		const struct socket_option *its = &others->items[i];
		if (item->side != its->side || item->level != its->level ||
		    item->option != its->option || item->size != its->size ||
		    memcmp(item->value, its->value, item->size) != 0)
			return false;
	}
	return true;
}

const struct option_type option_type_socket = {
	.name = "a|l|r:NAME=VALUE",
	.parse = parse_socket,
	.clear = clear_socket,
	.is_equal = is_equal_socket,
};
