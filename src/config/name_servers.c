#include "config/name_servers.h"

#include "base/memory.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool
is_ip(int family, const char *text)
{
	struct in6_addr ignored;

	return inet_pton(family, text, &ignored) == 1;
}

/* Whether `text` is ADDRESS or ADDRESS:PORT. It is cut up. */
static bool
is_server(char *text)
{
	char *address = text;
	char *rest = NULL;
	long ignored;

	if (is_ip(AF_INET6, text) || is_ip(AF_INET, text))
		return true;
	if (*text == '[') {
		address = text + 1;
		rest = strchr(address, ']');
		if (rest == NULL)
			return false;
		*rest++ = '\0';
		if (!is_ip(AF_INET6, address))
			return false;
		if (*rest == '\0')
			return true;
	} else {
		rest = strchr(text, ':');
		if (rest == NULL)
			return false;
	}
	if (*rest != ':' || !text_to_long(rest + 1, 1, UINT16_MAX, &ignored))
		return false;
	*rest = '\0';
	return is_ip(*text == '[' ? AF_INET6 : AF_INET, address);
}

static bool
parse(const struct option_row *row, const char *text, struct location at ATTR_UNUSED, void *value,
      struct err *err)
{
	char **target = value;
	char *list = memory_copy_text("");
	char *copy = memory_copy_text(text);
	char *rest = copy;
	bool is_good = true;

	for (char *item = strsep(&rest, ","); item != NULL; item = strsep(&rest, ",")) {
		char *longer = memory_format("%s%s%s", list, *list != '\0' ? "," : "",
					     text_trim(item));
		free(list);
		list = longer;
		is_good = is_good && is_server(text_trim(item));
	}
	free(copy);
	if (!is_good) {
		free(list);
		return option_bad_value(row, text, err,
					"must be addresses of name servers, ADDRESS or "
					"ADDRESS:PORT, with commas between them");
	}
	free(*target);
	*target = list;
	return true;
}

static void
clear(void *value)
{
	char **target = value;

	free(*target);
	*target = NULL;
}

const struct option_type option_type_name_servers = {
	.name = "address[:port],...",
	.parse = parse,
	.clear = clear,
	.is_equal = option_is_equal_text,
};
