#ifndef CACHETUNNEL_SSH_KNOWN_HOST_H
#define CACHETUNNEL_SSH_KNOWN_HOST_H

#include "ssh/known_hosts.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * One line of a known_hosts file: reading it, and telling whether it speaks of a host. A part of
 * known_hosts.c only; everyone else asks the whole set.
 */

enum { KNOWN_HOST_HASH_SIZE = 20 /* SHA-1, of salt and hash alike */ };

enum known_host_marker { MARKER_NONE, MARKER_REVOKED, MARKER_CERT_AUTHORITY };

struct known_host {
	const char *file; /* borrowed */
	unsigned line;
	enum known_host_marker marker;
	char *patterns; /* owned, in lower case; NULL: the name is hashed */
	unsigned char salt[KNOWN_HOST_HASH_SIZE];
	unsigned char hash[KNOWN_HOST_HASH_SIZE];
	unsigned char *blob; /* owned */
	size_t blob_length;
};

/* The names to look a host up by; none if it has a name longer than any can be. */
struct host_names {
	char items[2][KNOWN_HOSTS_NAME_SIZE];
	size_t count;
};

enum known_host_outcome {
	KNOWN_HOST_ENTRY, /* `entry` is filled */
	KNOWN_HOST_EMPTY, /* blank, or a comment */
	KNOWN_HOST_BAD,
};

/* Reads one line, without its end, into a zeroed `entry`, except for its place. There is something
 * to release after KNOWN_HOST_ENTRY only. */
enum known_host_outcome known_host_parse(struct known_host *entry, const char *line, size_t length);

void known_host_done(struct known_host *entry);

struct host_names host_names_of(const char *host, unsigned port);

/* Whether the line speaks of the host. Without names, none does. */
bool known_host_matches(const struct known_host *entry, const struct host_names *names);

/* Borrowed from the entry. */
static inline struct host_key
known_host_key(const struct known_host *entry)
{
	return (struct host_key){entry->blob, entry->blob_length};
}

#endif
