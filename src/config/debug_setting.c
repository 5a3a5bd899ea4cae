#include "config/debug_setting.h"

#include "base/text.h"
#include "config/options.h"

#include <string.h>
#include <syslog.h>

static const struct option_choice facilities[] = {
	{"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV}, {"cron", LOG_CRON},
	{"daemon", LOG_DAEMON}, {"ftp", LOG_FTP},           {"kern", LOG_KERN},
	{"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1},     {"local2", LOG_LOCAL2},
	{"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4},     {"local5", LOG_LOCAL5},
	{"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7},     {"lpr", LOG_LPR},
	{"mail", LOG_MAIL},     {"news", LOG_NEWS},         {"syslog", LOG_SYSLOG},
	{"user", LOG_USER},     {"uucp", LOG_UUCP},         {NULL, 0},
};

static const struct option_choice levels[] = {
	{"emerg", LOG_EMERG}, {"alert", LOG_ALERT},     {"crit", LOG_CRIT},
	{"err", LOG_ERR},     {"warning", LOG_WARNING}, {"notice", LOG_NOTICE},
	{"info", LOG_INFO},   {"debug", LOG_DEBUG},     {NULL, 0},
};

/* The choice whose name is the first `length` bytes of `text`. */
static const struct option_choice *
find(const struct option_choice *choices, const char *text, size_t length)
{
	char name[16];

	if (length >= sizeof name)
		return NULL;
	memcpy(name, text, length);
	name[length] = '\0';
	for (; choices->name != NULL; choices++) {
		if (text_equal_nocase(choices->name, name))
			return choices;
	}
	return NULL;
}

static bool
parse_level(const struct option_row *row, const char *whole, const char *text, int *ret_level,
	    struct err *err)
{
	const struct option_choice *choice = find(levels, text, strlen(text));
	long number = 0;

	if (choice != NULL)
		*ret_level = choice->value;
	else if (text_to_long(text, LOG_EMERG, LOG_DEBUG, &number))
		*ret_level = (int)number;
	else
		return option_bad_value(row, whole, err,
					"must be emerg, alert, crit, err, warning, notice, info, "
					"debug or a number from 0 to 7");
	return true;
}

static bool
parse_debug(const struct option_row *row, const char *text, struct location at ATTR_UNUSED,
	    void *value, struct err *err)
{
	struct debug_setting setting = {.is_set = true, .facility = -1};
	const char *dot = strchr(text, '.');

	if (dot != NULL) {
		const struct option_choice *facility = find(facilities, text, (size_t)(dot - text));
		if (facility == NULL)
			return option_bad_value(row, text, err,
						"must begin with a syslog facility such as daemon "
						"or local0, or have no '.'");
		setting.facility = facility->value;
	}
	if (!parse_level(row, text, dot != NULL ? dot + 1 : text, &setting.level, err))
		return false;
	*(struct debug_setting *)value = setting;
	return true;
}

static bool
parse_debug_level(const struct option_row *row, const char *text, struct location at ATTR_UNUSED,
		  void *value, struct err *err)
{
	struct debug_setting setting = {.is_set = true, .facility = -1};

	if (strchr(text, '.') != NULL)
		return option_bad_value(row, text, err,
					"must be a level only: the facility belongs above the "
					"first [section]");
	if (!parse_level(row, text, text, &setting.level, err))
		return false;
	*(struct debug_setting *)value = setting;
	return true;
}

static bool
is_equal_debug(const void *value, const void *other)
{
	const struct debug_setting *setting = value;
	const struct debug_setting *another = other;

	return setting->is_set == another->is_set && setting->facility == another->facility &&
	       setting->level == another->level;
}

const struct option_type option_type_debug = {
	.name = "[facility.]level",
	.parse = parse_debug,
	.is_equal = is_equal_debug,
};
const struct option_type option_type_debug_level = {
	.name = "level",
	.parse = parse_debug_level,
	.is_equal = is_equal_debug,
};
