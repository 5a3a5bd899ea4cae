#include "ssh/server_offer.h"

#include <string.h>

enum { MESSAGE_KEXINIT = 20, COOKIE_LENGTH = 16 };

/* Passes over the lines that a server may send first, and its version. */
static bool
skip_version(struct wire_span *span)
{
	static const char version[] = "SSH-";

	while (span->length > 0) {
		const unsigned char *end = memchr(span->bytes, '\n', span->length);
		if (end == NULL)
			return false;
		size_t line = (size_t)(end - span->bytes) + 1;
		bool is_version = line >= strlen(version) &&
				  memcmp(span->bytes, version, strlen(version)) == 0;
		span->bytes += line;
		span->length -= line;
		if (is_version)
			return true;
	}
	return false;
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
	if (!skip_version(&rest) || !wire_read_u32(&rest, &packet_length) ||
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
