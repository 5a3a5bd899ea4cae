#include "control/network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* The address's bytes in network order, and how many. */
static const unsigned char *
bytes_of(const struct sockaddr *address, size_t *ret_size)
{
	if (address->sa_family == AF_INET) {
		*ret_size = sizeof(struct in_addr);
		return (const unsigned char *)&((const struct sockaddr_in *)(const void *)address)
			->sin_addr;
	}
	*ret_size = sizeof(struct in6_addr);
	return (const unsigned char *)&((const struct sockaddr_in6 *)(const void *)address)
		->sin6_addr;
}

static bool
is_inet(const struct sockaddr *address)
{
	return address != NULL && (address->sa_family == AF_INET || address->sa_family == AF_INET6);
}

bool
network_is_private(const struct sockaddr_storage *address)
{
	size_t size;
	const unsigned char *byte;

	if (!is_inet((const struct sockaddr *)address))
		return false;
	byte = bytes_of((const struct sockaddr *)address, &size);
	if (size == sizeof(struct in6_addr))
		return (byte[0] & 0xfe) == 0xfc;             /* fc00::/7 */
	return byte[0] == 10 ||                              /* 10.0.0.0/8 */
	       (byte[0] == 172 && (byte[1] & 0xf0) == 16) || /* 172.16.0.0/12 */
	       (byte[0] == 192 && byte[1] == 168) ||         /* 192.168.0.0/16 */
	       (byte[0] == 100 && (byte[1] & 0xc0) == 64);   /* 100.64.0.0/10 */
}

static bool
is_in_network(const struct sockaddr *address, const struct sockaddr *network,
	      const struct sockaddr *mask)
{
	size_t size;
	const unsigned char *byte = bytes_of(address, &size);
	const unsigned char *network_byte = bytes_of(network, &size);
	const unsigned char *mask_byte = bytes_of(mask, &size);

	for (size_t i = 0; i < size; i++) {
		if ((byte[i] & mask_byte[i]) != (network_byte[i] & mask_byte[i]))
			return false;
	}
	return true;
}

bool
network_is_own(const struct sockaddr_storage *address)
{
	const struct sockaddr *wanted = (const struct sockaddr *)address;
	struct ifaddrs *interfaces = NULL;
	bool is_own = false;

	if (!is_inet(wanted) || getifaddrs(&interfaces) != 0)
		return false;
	for (const struct ifaddrs *item = interfaces; item != NULL && !is_own;
	     item = item->ifa_next) {
		if (item->ifa_addr != NULL && item->ifa_netmask != NULL &&
		    item->ifa_addr->sa_family == wanted->sa_family)
			is_own = is_in_network(wanted, item->ifa_addr, item->ifa_netmask);
	}
	freeifaddrs(interfaces);
	return is_own;
}

bool
network_has_route(const struct sockaddr_storage *address, socklen_t length)
{
	/* Connecting a datagram socket looks the route up, and that is all. */
	int fd = socket(address->ss_family, SOCK_DGRAM, 0);
	bool has_route = fd >= 0 && connect(fd, (const struct sockaddr *)address, length) == 0;

	if (fd >= 0)
		(void)close(fd);
	return has_route;
}
