#include "config/address.h"

#include "base/memory.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

enum {
	HOST_LENGTH_MAX = 253,
	PORT_LENGTH_MAX = 63,
	PORT_MAX = 65535,
	SHOWN_SIZE = 80,
};

static bool
consists_of(const char *text, const char *allowed)
{
	return text[strspn(text, allowed)] == '\0';
}

/* Whether `host` is an IPv6 address, perhaps with a zone such as %eth0. */
static bool
is_ipv6(const char *host)
{
	char digits[INET6_ADDRSTRLEN];
	struct in6_addr ignored;
	size_t length = strcspn(host, "%");

	if (length >= sizeof digits || (host[length] == '%' && host[length + 1] == '\0'))
		return false;
	memcpy(digits, host, length);
	digits[length] = '\0';
	return inet_pton(AF_INET6, digits, &ignored) == 1;
}

bool
address_is_host(const char *text)
{
	if (*text == '\0' || *text == '-' || strlen(text) > HOST_LENGTH_MAX)
		return false;
	return is_ipv6(text) || consists_of(text, LETTERS DIGITS "-._%");
}

static bool
check_port(const char *port, const char *shown, struct err *err)
{
	long number = 0;

	if (*port == '\0')
		return err_set(err, "'%s' has no port; write HOST:PORT or a port alone", shown);
	if (consists_of(port, DIGITS)) {
		if (text_to_long(port, 1, PORT_MAX, &number))
			return true;
		return err_set(err, "the port in '%s' is not between 1 and %d", shown, PORT_MAX);
	}
	if (strlen(port) > PORT_LENGTH_MAX || !consists_of(port, LETTERS DIGITS "-"))
		return err_set(err, "'%s' does not end with a port; write HOST:PORT", shown);
	return true;
}

static bool
check_host(const char *host, const char *shown, struct err *err)
{
	if (*host == '\0')
		return err_set(err, "'%s' has no host; for loopback write the port alone", shown);
	if (strlen(host) > HOST_LENGTH_MAX)
		return err_set(err, "the host in '%s' is longer than %d bytes", shown,
			       HOST_LENGTH_MAX);
	if (strchr(host, ':') != NULL) {
		if (is_ipv6(host))
			return true;
		return err_set(err, "the host in '%s' is no IPv6 address; write HOST:PORT", shown);
	}
	if (!consists_of(host, LETTERS DIGITS "-._%"))
		return err_set(err,
			       "the host in '%s' is neither a name nor an IP address; "
			       "for every interface write 0.0.0.0 or ::",
			       shown);
	return true;
}

static bool
parse_path(const char *text, const char *shown, struct address *ret_address, struct err *err)
{
	const struct sockaddr_un *unix_address = NULL;
	size_t longest = sizeof unix_address->sun_path - 1;

	if (strlen(text) > longest)
		return err_set(err, "the socket path '%s' is longer than %zu bytes", shown,
			       longest);
	*ret_address = (struct address){.path = memory_copy_text(text)};
	return true;
}

/* `text` is cut up in place. */
static bool
parse_host_and_port(char *text, const char *shown, struct address *ret_address, struct err *err)
{
	char *host = NULL;
	char *port = text;
	char *colon = strrchr(text, ':');

	if (colon != NULL) {
		*colon = '\0';
		host = text;
		port = colon + 1;
		size_t length = strlen(host);
		if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
			host[length - 1] = '\0';
			host++;
			if (!is_ipv6(host))
				return err_set(err, "'%s' has no IPv6 address in its brackets",
					       shown);
		}
		if (!check_host(host, shown, err))
			return false;
	}
	if (!check_port(port, shown, err))
		return false;
	*ret_address = (struct address){
		.host = memory_copy_text(host),
		.port = memory_copy_text(port),
	};
	return true;
}

bool
address_parse(const char *text, struct address *ret_address, struct err *err)
{
	char shown[SHOWN_SIZE];

	text_escape(shown, sizeof shown, text);
	if (*text == '\0')
		return err_set(err, "the address is empty; write HOST:PORT");
	if (*text == '/')
		return parse_path(text, shown, ret_address, err);

	char *copy = memory_copy_text(text);
	bool is_good = parse_host_and_port(copy, shown, ret_address, err);
	free(copy);
	return is_good;
}

void
address_done(struct address *address)
{
	free(address->host);
	free(address->port);
	free(address->path);
	*address = (struct address){0};
}

int
address_compare(const struct address *left, const struct address *right)
{
	if (address_is_unix(left) != address_is_unix(right))
		return address_is_unix(left) ? -1 : 1;
	if (address_is_unix(left))
		return strcmp(left->path, right->path);
	int order = strcmp(left->port, right->port);
	return order != 0 ? order : strcasecmp(address_host(left), address_host(right));
}

char *
address_format(const struct address *address, char *out, size_t size)
{
	if (address_is_unix(address)) {
		(void)snprintf(out, size, "%s", address->path);
		return out;
	}
	const char *host = address_host(address);
	bool needs_brackets = strchr(host, ':') != NULL;
	(void)snprintf(out, size, needs_brackets ? "[%s]:%s" : "%s:%s", host, address->port);
	return out;
}
