#include "ssh/server_offer.h"

#include <string.h>

enum { MESSAGE_KEXINIT = 20, COOKIE_LENGTH = 16 };

static const char version_start[] = "SSH-";

/* Takes a line with its end off the front. */
static bool
read_line(struct wire_span *span, struct wire_span *ret)
{
	const unsigned char *end = span->length > 0 ? memchr(span->bytes, '\n', span->length)
						    : NULL;

	return end != NULL && wire_read_bytes(span, (size_t)(end - span->bytes) + 1, ret);
}

/* Passes over the lines that a server may send first, and its version. */
static bool
read_version(struct wire_span *span, struct wire_span *ret)
{
	while (read_line(span, ret)) {
		if (ret->length > strlen(version_start) &&
		    memcmp(ret->bytes, version_start, strlen(version_start)) == 0)
			return true;
	}
	return false;
}

static void
strip_end(struct wire_span *line)
{
	while (line->length > 0 &&
	       (line->bytes[line->length - 1] == '\n' || line->bytes[line->length - 1] == '\r'))
		line->length--;
}

bool
server_offer_find_version(const void *bytes, size_t length, struct wire_span *ret)
{
	struct wire_span said = {.bytes = bytes, .length = length};
	struct wire_span rest = said;
	bool is_version = read_version(&rest, ret);

	/* What came instead may be a line that has only begun. */
	if (!is_version && !read_line(&said, ret))
		*ret = said;
	strip_end(ret);
	return is_version || (ret->length > 0 && memcmp(ret->bytes, version_start,
							ret->length < strlen(version_start)
								? ret->length
								: strlen(version_start)) == 0);
}

bool
server_offer_find(const void *bytes, size_t length, enum server_offer_list which,
		  struct wire_span *ret)
{
	struct wire_span rest = {.bytes = bytes, .length = length};
	struct wire_span skipped;
	struct wire_span message;
	uint32_t packet_length = 0;

	/* The packet is the length of padding (1 byte), the message, and the padding. */
	if (!read_version(&rest, &skipped) || !wire_read_u32(&rest, &packet_length) ||
	    !wire_read_bytes(&rest, packet_length, &message) ||
	    !wire_read_bytes(&message, 1, &skipped) || skipped.bytes[0] > message.length)
		return false;
	message.length -= skipped.bytes[0];
	if (!wire_read_bytes(&message, 1, &skipped) || skipped.bytes[0] != MESSAGE_KEXINIT ||
	    !wire_read_bytes(&message, COOKIE_LENGTH, &skipped))
		return false;
	for (int i = 0; i <= (int)which; i++) {
		if (!wire_read_string(&message, ret))
			return false;
	}
	return true;
}

bool
server_offer_has(struct wire_span list, const char *name)
{
	size_t length = strlen(name);

	while (list.length > 0) {
		const unsigned char *comma = memchr(list.bytes, ',', list.length);
		size_t item = comma != NULL ? (size_t)(comma - list.bytes) : list.length;
		if (item == length && memcmp(list.bytes, name, length) == 0)
			return true;
		item += comma != NULL;
		list.bytes += item;
		list.length -= item;
	}
	return false;
}
