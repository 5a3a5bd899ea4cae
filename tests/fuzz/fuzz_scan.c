#include "redis/scan.h"

#include <assert.h>
#include <stdlib.h>

/* However the bytes are cut, the same messages are found at the same places. */

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Feeds pieces of `piece` bytes and mixes what happens, and where, into a number. */
static uint64_t
read_in_pieces(enum scan_kind kind, const unsigned char *data, size_t size, size_t piece)
{
	uint64_t sum = 0;
	size_t at = 0;
	struct scan scan;

	scan_init(&scan, kind);
	while (at < size) {
		size_t count = 0;
		size_t length = size - at < piece ? size - at : piece;
		enum scan_event event = scan_next(&scan, data + at, length, &count);
		assert(count > 0 && count <= length);
		at += count;
		if (event != SCAN_NOTHING)
			sum = sum * 1000003 + at * 8 + (uint64_t)event;
		if (event == SCAN_LOST)
			break;
	}
	return sum * 2 + (scan_is_between(&scan) ? 1 : 0);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	for (int kind = SCAN_REQUESTS; kind <= SCAN_REPLIES; kind++) {
		uint64_t whole = read_in_pieces(kind, data, size, size);
		if (read_in_pieces(kind, data, size, 1) != whole ||
		    read_in_pieces(kind, data, size, 7) != whole)
			abort();
	}
	return 0;
}
