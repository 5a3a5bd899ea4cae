#ifndef CACHETUNNEL_REDIS_REPLY_H
#define CACHETUNNEL_REDIS_REPLY_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Reads one reply of a Redis server at a time, from bytes that come in pieces of any size. For
 * our own questions (PING, INFO), whose answers are a line or a blob, in RESP2 or RESP3; not for
 * what clients and servers say to each other. What the server may make us keep is bounded.
 */

enum redis_reply_kind {
	REDIS_REPLY_STATUS, /* "+PONG" */
	REDIS_REPLY_ERROR,  /* "-NOAUTH …", or RESP3's blob of the same */
	REDIS_REPLY_VALUE,  /* a number, a truth value */
	REDIS_REPLY_BLOB,   /* "$…", and RESP3's text with a format, which stays in front of it */
	REDIS_REPLY_NULL,
};

struct redis_reply {
	enum redis_reply_kind kind;
	const char *text; /* borrowed until the next call; a NUL follows it, and may be in it */
	size_t length;
};

enum redis_reply_result {
	REDIS_REPLY_MORE,   /* all bytes are used up, and the reply is not complete */
	REDIS_REPLY_DONE,   /* a reply is complete; bytes after it were not looked at */
	REDIS_REPLY_FAILED, /* it is none, or too long; the reader is good for freeing only */
};

struct redis_reply_reader;

/* For replies of up to `limit` bytes each. Returns owned; NULL: no memory. */
struct redis_reply_reader *redis_reply_reader_new(size_t limit);

void redis_reply_reader_free(struct redis_reply_reader *reader); /* NULL is fine */

/* Goes on with `length` bytes, of which it uses `*ret_used`. Fills `ret_reply` with DONE, and
 * begins a new reply with the next call; fills `err` with FAILED. */
enum redis_reply_result redis_reply_read(struct redis_reply_reader *reader,
					 const unsigned char *bytes, size_t length,
					 size_t *ret_used, struct redis_reply *ret_reply,
					 struct err *err) ATTR_MUST_CHECK;

/* Whether an error reply begins with this word: "NOAUTH". */
bool redis_reply_is_error(const struct redis_reply *reply, const char *word);

/* Copies what INFO says after "NAME:", up to the end of the line; false where it does not. */
bool redis_reply_find_info(const struct redis_reply *reply, const char *name, char *out,
			   size_t size);

#endif
