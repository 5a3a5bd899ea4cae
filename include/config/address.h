#ifndef CACHETUNNEL_CONFIG_ADDRESS_H
#define CACHETUNNEL_CONFIG_ADDRESS_H

#include "base/err.h"
#include "config/location.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * An address as the configuration writes it: `port`, `host:port` (split at the last colon, so
 * that IPv6 needs no brackets, though it may have them) or `/path/of/a/unix/socket`. Names are
 * not resolved here.
 */

struct address {
	char *host; /* owned; without brackets; NULL for a bare port and for a unix socket */
	char *port; /* owned; a number or a service name; NULL for a unix socket */
	char *path; /* owned; NULL for anything but a unix socket */
	struct location at;
};

struct address_list {
	struct address *items; /* owned */
	size_t count;
};

/* Fills `ret_address` (all owned), except for its location. */
bool address_parse(const char *text, struct address *ret_address, struct err *err) ATTR_MUST_CHECK;

void address_done(struct address *address);

/* Whether `text` may be a host alone: a name, or an IP address without brackets. One that begins
 * with '-' is none: programs would take it for an option. */
bool address_is_host(const char *text) ATTR_MUST_CHECK;

static inline bool
address_is_unix(const struct address *address)
{
	return address->path != NULL;
}

/* Where a bare port leads: loopback, for `accept` and for `connect`. */
static inline const char *
address_host(const struct address *address)
{
	return address->host != NULL ? address->host : "localhost";
}

/* An order of addresses, by what is written there; 0: they lead to the same place. Names in any case
 * are the same. */
int address_compare(const struct address *left, const struct address *right);

/* Writes it as the user would: `host:port`, `[v6]:port` or the path. Returns `out`. */
char *address_format(const struct address *address, char *out, size_t size);

#endif
