#include "ssh/known_hosts.h"

#include "base/memory.h"
#include "ssh/known_host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FILE_SIZE_MAX = 64 * 1024 * 1024,
	READ_SIZE_MIN = 16 * 1024,
};

struct known_hosts {
	struct known_host *items; /* owned, in the order of the lines */
	size_t count;
	size_t capacity;
	char **files; /* owned */
	size_t file_count;
};

struct known_hosts *
known_hosts_new(void)
{
	return memory_zero(sizeof(struct known_hosts));
}

void
known_hosts_free(struct known_hosts *hosts)
{
	if (hosts == NULL)
		return;
	for (size_t i = 0; i < hosts->count; i++)
		known_host_done(&hosts->items[i]);
	for (size_t i = 0; i < hosts->file_count; i++)
		free(hosts->files[i]);
	free(hosts->items);
	free(hosts->files);
	free(hosts);
}

static void
add_entry(struct known_hosts *hosts, struct known_host entry)
{
	if (hosts->count == hosts->capacity) {
		hosts->capacity = hosts->capacity > 0 ? hosts->capacity * 2 : 16;
		hosts->items = memory_grow(hosts->items, hosts->capacity, sizeof *hosts->items);
	}
	hosts->items[hosts->count++] = entry;
}

void
known_hosts_parse(struct known_hosts *hosts, const char *name, const char *text, size_t length,
		  unsigned *bad_lines)
{
	unsigned number = 0;
	unsigned bad = 0;
	size_t next = 0;

	hosts->files = memory_grow(hosts->files, hosts->file_count + 1, sizeof *hosts->files);
	char *file = memory_copy_text(name);
	hosts->files[hosts->file_count++] = file;
	while (next < length) {
		const char *line = text + next;
		const char *end = memchr(line, '\n', length - next);
		size_t line_length = end != NULL ? (size_t)(end - line) : length - next;
		struct known_host entry = {.file = file, .line = ++number};
		next += line_length + 1;
		switch (known_host_parse(&entry, line, line_length)) {
		case KNOWN_HOST_ENTRY:
			add_entry(hosts, entry);
			break;
		case KNOWN_HOST_BAD:
			bad++;
			break;
		case KNOWN_HOST_EMPTY:
			break;
		}
	}
	if (bad_lines != NULL)
		*bad_lines += bad;
}

/* Returns the whole content, owned; NULL with errno set. */
static char *
read_whole(int fd, size_t *ret_length)
{
	char *text = NULL;
	size_t capacity = 0;
	size_t length = 0;

	for (;;) {
		if (length == capacity) {
			capacity = capacity > 0 ? capacity * 2 : READ_SIZE_MIN;
			text = memory_grow(text, capacity, 1);
		}
		ssize_t count = read(fd, text + length, capacity - length);
		if (count == 0)
			break;
		if (count > 0)
			length += (size_t)count;
		else if (errno != EINTR)
			goto fail;
		if (length > FILE_SIZE_MAX) {
			errno = EFBIG;
			goto fail;
		}
	}
	*ret_length = length;
	return text;

fail:
	free(text);
	return NULL;
}

bool
known_hosts_read(struct known_hosts *hosts, const char *path, unsigned *bad_lines, struct err *err)
{
	size_t length = 0;
	/* Not to wait for a writer, should it be a pipe. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 && errno == ENOENT)
		return true;
	if (fd < 0)
		return err_set_errno(err, errno, "cannot open the known hosts file '%s'", path);
	char *text = read_whole(fd, &length);
	int failure = errno;
	(void)close(fd);
	if (text == NULL)
		return err_set_errno(err, failure, "cannot read the known hosts file '%s'", path);
	known_hosts_parse(hosts, path, text, length, bad_lines);
	free(text);
	return true;
}

/* What a line says about the key, if it matches the host. */
static enum host_key_verdict
judge(const struct known_host *entry, struct host_key key)
{
	bool is_same = host_key_equal(known_host_key(entry), key);

	switch (entry->marker) {
	case MARKER_REVOKED:
		return is_same ? HOST_KEY_REVOKED : HOST_KEY_UNKNOWN;
	case MARKER_CERT_AUTHORITY:
		return HOST_KEY_CERTIFICATE_ONLY;
	case MARKER_NONE:
		break;
	}
	if (is_same)
		return HOST_KEY_KNOWN;
	return host_key_same_algorithm(known_host_key(entry), key) ? HOST_KEY_CHANGED
								   : HOST_KEY_OTHER_TYPE;
}

/* Which verdict goes over which. */
static unsigned
weight(enum host_key_verdict verdict)
{
	static const unsigned char weights[] = {
		[HOST_KEY_UNKNOWN] = 0,    [HOST_KEY_CERTIFICATE_ONLY] = 1,
		[HOST_KEY_OTHER_TYPE] = 2, [HOST_KEY_CHANGED] = 3,
		[HOST_KEY_KNOWN] = 4,      [HOST_KEY_REVOKED] = 5,
	};

	return weights[verdict];
}

/* A file name that is too long loses its beginning, not the line's number. */
static void
format_place(const struct known_host *entry, char *out, size_t size)
{
	char number[16];
	size_t room = size - 1 - (size_t)snprintf(number, sizeof number, ":%u", entry->line);
	size_t length = strlen(entry->file);
	const char *shown = length > room ? entry->file + (length - room) : entry->file;

	(void)snprintf(out, size, "%s%s", shown, number);
}

struct host_key_finding
known_hosts_check(const struct known_hosts *hosts, const char *host, unsigned port,
		  struct host_key key)
{
	struct host_key_finding finding = {.verdict = HOST_KEY_UNKNOWN};
	struct host_names names = host_names_of(host, port);
	const struct known_host *decisive = NULL;

	for (size_t i = 0; i < hosts->count; i++) {
		const struct known_host *entry = &hosts->items[i];
		enum host_key_verdict verdict = judge(entry, key);
		/* Matching comes last, because it may cost a hash. */
		if (weight(verdict) > weight(finding.verdict) &&
		    known_host_matches(entry, &names)) {
			finding.verdict = verdict;
			decisive = entry;
		}
	}
	if (decisive != NULL)
		format_place(decisive, finding.place, sizeof finding.place);
	if (finding.verdict == HOST_KEY_CHANGED)
		(void)host_key_fingerprint(known_host_key(decisive), finding.known,
					   sizeof finding.known);
	return finding;
}

static bool
is_revoked(const struct known_hosts *hosts, const struct host_names *names, struct host_key key)
{
	for (size_t i = 0; i < hosts->count; i++) {
		const struct known_host *entry = &hosts->items[i];
		if (entry->marker == MARKER_REVOKED && host_key_equal(known_host_key(entry), key) &&
		    known_host_matches(entry, names))
			return true;
	}
	return false;
}

unsigned
known_hosts_types(const struct known_hosts *hosts, const char *host, unsigned port)
{
	struct host_names names = host_names_of(host, port);
	unsigned types = 0;

	for (size_t i = 0; i < hosts->count; i++) {
		const struct known_host *entry = &hosts->items[i];
		unsigned type = host_key_type(known_host_key(entry));
		if (entry->marker == MARKER_NONE && (types | type) != types &&
		    known_host_matches(entry, &names) &&
		    !is_revoked(hosts, &names, known_host_key(entry)))
			types |= type;
	}
	return types;
}
