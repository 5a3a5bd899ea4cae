#include "redis/conversation.h"

#include <string.h>

void
conversation_init(struct conversation *conversation)
{
	*conversation = (struct conversation){0};
	scan_init(&conversation->requests, SCAN_REQUESTS);
	scan_init(&conversation->replies, SCAN_REPLIES);
}

void
conversation_on_request(struct conversation *conversation, const unsigned char *bytes,
			size_t length)
{
	size_t count = 0;

	for (; length > 0 && !conversation->is_lost; bytes += count, length -= count) {
		switch (scan_next(&conversation->requests, bytes, length, &count)) {
		case SCAN_NOTHING:
			break;
		case SCAN_MESSAGE:
		case SCAN_ERROR:
		case SCAN_PUSH:
			conversation->outstanding++;
			break;
		case SCAN_LOST:
			conversation->is_lost = true;
			break;
		}
	}
}

bool
conversation_on_reply(struct conversation *conversation, const unsigned char *bytes, size_t length)
{
	bool is_readonly = false;
	size_t count = 0;

	for (; length > 0 && !conversation->is_lost; bytes += count, length -= count) {
		enum scan_event event = scan_next(&conversation->replies, bytes, length, &count);
		switch (event) {
		case SCAN_NOTHING:
		case SCAN_PUSH:
			break;
		case SCAN_ERROR:
			is_readonly |= strcmp(conversation->replies.error, "-READONLY") == 0;
			/* fall through */
		case SCAN_MESSAGE:
			if (conversation->outstanding > 0)
				conversation->outstanding--;
			break;
		case SCAN_LOST:
			conversation->is_lost = true;
			break;
		}
	}
	return is_readonly;
}

bool
conversation_is_quiet(const struct conversation *conversation)
{
	return !conversation->is_lost && conversation->outstanding == 0 &&
	       scan_is_between(&conversation->requests) && scan_is_between(&conversation->replies);
}
