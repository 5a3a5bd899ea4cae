#include "tunnel/resolved.h"

#include <netinet/in.h>
#include <string.h>

bool
resolved_is_same(const struct resolved_address *left, const struct resolved_address *right)
{
	const struct sockaddr_in *v4 = (const void *)&left->storage;
	const struct sockaddr_in *other_v4 = (const void *)&right->storage;
	const struct sockaddr_in6 *v6 = (const void *)&left->storage;
	const struct sockaddr_in6 *other_v6 = (const void *)&right->storage;

	if (left->storage.ss_family != right->storage.ss_family)
		return false;
	/* Member by member: the rest of the structs is padding and what the kernel adds. */
	if (left->storage.ss_family == AF_INET)
		return v4->sin_port == other_v4->sin_port &&
		       v4->sin_addr.s_addr == other_v4->sin_addr.s_addr;
	if (left->storage.ss_family == AF_INET6)
		return v6->sin6_port == other_v6->sin6_port &&
		       v6->sin6_scope_id == other_v6->sin6_scope_id &&
		       memcmp(&v6->sin6_addr, &other_v6->sin6_addr, sizeof v6->sin6_addr) == 0;
	return left->length == right->length &&
	       memcmp(&left->storage, &right->storage, left->length) == 0;
}

bool
resolved_contains(const struct resolved *resolved, const struct resolved_address *address)
{
	for (size_t i = 0; i < resolved->count; i++) {
		if (resolved_is_same(&resolved->items[i], address))
			return true;
	}
	return false;
}

bool
resolved_add(struct resolved *resolved, const struct sockaddr *address, socklen_t length)
{
	struct resolved_address *item = &resolved->items[resolved->count];

	if (resolved->count == RESOLVED_MAX_ADDRESSES || length > sizeof item->storage ||
	    (address->sa_family != AF_INET && address->sa_family != AF_INET6))
		return false;
	memset(&item->storage, 0, sizeof item->storage);
	memcpy(&item->storage, address, length);
	item->length = length;
	resolved->count++;
	return true;
}

void
resolved_set_port(struct resolved *resolved, uint16_t port)
{
	for (size_t i = 0; i < resolved->count; i++) {
		struct sockaddr_in *v4 = (void *)&resolved->items[i].storage;
		struct sockaddr_in6 *v6 = (void *)&resolved->items[i].storage;
		if (v4->sin_family == AF_INET)
			v4->sin_port = htons(port);
		else
			v6->sin6_port = htons(port);
	}
}
