#ifndef CACHETUNNEL_REDIS_SCAN_H
#define CACHETUNNEL_REDIS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Finds where messages of the Redis protocol (RESP2 and RESP3) begin and end in one direction of a
 * connection, in whatever pieces it comes. It keeps no byte of it but the first few of an error,
 * and skips the contents of strings without looking. Its state is of a fixed size: how deep
 * messages nest is of no interest, only how many values are still to come.
 *
 * What it does not understand ends it: from then on it knows nothing, and says so.
 */

enum scan_kind {
	SCAN_REQUESTS, /* arrays of strings, or lines ("inline commands") */
	SCAN_REPLIES,
};

/* The first bytes of a top-level error that are kept, final NUL included: "-READONLY". */
enum { SCAN_ERROR_SIZE = 10 };

struct scan {
	enum scan_kind kind;
	int state;             /* scan.c's own */
	unsigned char type;    /* of the value that is being read: its first byte */
	unsigned char message; /* of the message: the first byte of all */
	bool is_negative;      /* of the number that is being read */
	bool has_digits;
	uint64_t number;
	uint64_t skip;   /* bytes of a string that are still to come, its line end included */
	uint64_t values; /* of this message that are still to come */
	size_t error_length;
	char error[SCAN_ERROR_SIZE];
};

enum scan_event {
	SCAN_NOTHING, /* all was read, and nothing of note was in it */
	SCAN_MESSAGE, /* a message has ended: a request, or a reply */
	SCAN_ERROR,   /* a reply that is an error has ended, and scan.error is how it began */
	SCAN_PUSH,    /* a message has ended that answers no request (RESP3) */
	SCAN_LOST,    /* it is no message: nothing is known from here on */
};

void scan_init(struct scan *scan, enum scan_kind kind);

/* Reads on, up to the next event, and says how many of the `length` bytes it has read. */
enum scan_event scan_next(struct scan *scan, const unsigned char *bytes, size_t length,
			  size_t *ret_count);

/* Whether it is between two messages. */
bool scan_is_between(const struct scan *scan);

#endif
