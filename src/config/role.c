#include "config/role.h"

#include "base/text.h"

#include <string.h>
#include <strings.h>

static bool
ends_with(const char *text, const char *end)
{
	size_t length = strlen(text);
	size_t end_length = strlen(end);

	return length >= end_length && text_equal_nocase(text + length - end_length, end);
}

/* With TLS the first label tells: master.NAME.HASH.REGION (primary. in older guides), replica.…;
 * without TLS it is NAME.HASH.ng.0001.REGION, and NAME-ro.… for the replicas. */
static enum role
guess(const struct address *endpoint)
{
	const char *host = endpoint->host;

	if (host == NULL || (!ends_with(host, ".cache.amazonaws.com") &&
			     !ends_with(host, ".cache.amazonaws.com.cn")))
		return ROLE_ANY;
	if (strncasecmp(host, "master.", 7) == 0 || strncasecmp(host, "primary.", 8) == 0)
		return ROLE_PRIMARY;
	if (strncasecmp(host, "replica.", 8) == 0)
		return ROLE_REPLICA;
	const char *dot = strchr(host, '.');
	if (dot - host > 3 && strncasecmp(dot - 3, "-ro.", 4) == 0)
		return ROLE_REPLICA;
	return strstr(host, ".ng.0001.") != NULL ? ROLE_PRIMARY : ROLE_ANY;
}

enum role
role_guess(const struct address_list *endpoints)
{
	enum role role = endpoints->count > 0 ? guess(&endpoints->items[0]) : ROLE_ANY;

	for (size_t i = 1; i < endpoints->count; i++) {
		if (guess(&endpoints->items[i]) != role)
			return ROLE_ANY;
	}
	return role;
}
