#include "stream/tls_memory.h"

#include "base/compat.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>

/*
 * A shelf holds blocks of nearly one size, each with the address of the next in its first bytes.
 * What a block can hold is asked of the system (malloc_usable_size), so it needs no header of ours,
 * and blocks of the system's and of shelves are the same thing: any thread may free any block.
 */

enum {
	/* glibc's blocks hold 8, 24, 40… bytes. With another step or offset shelves are right
	 * as well, but fit fewer requests. */
	STEP = 16,
	OFFSET = 8,
	SMALL_SHELVES = 32,
	SMALL_LIMIT = (SMALL_SHELVES - 1) * STEP + OFFSET,

	/* A buffer for a record: 16 KiB and what TLS and OpenSSL add to it, which differs with the
	 * direction and the cipher (RFC 8446, 5.2: at most 16,640 bytes and a header of 5). */
	RECORD_MIN = 16 * 1024,
	RECORD_MAX = 16 * 1024 + 512,

	/* What a handshake gathers its messages in: 16 KiB, which a BUF_MEM makes a third larger.
	 * Torn from the heap and given back at each handshake it leaves holes: with a shelf for it
	 * 2,000 idle tunnels take 3 KiB less each. */
	MESSAGE = (16 * 1024 + 3) / 3 * 4,

	/* All shelves of a thread together hold less than 210 KiB. */
	SMALL_DEPTH = 16,
	LARGE_DEPTH = 2,
};

struct block {
	struct block *next;
};

struct shelf {
	struct block *first;
	int count;
};

static _Thread_local struct shelf small_shelves[SMALL_SHELVES];
static _Thread_local struct shelf record_shelf;
static _Thread_local struct shelf message_shelf;

/* Takes a block off, or gets a new one of that size. */
static void *
take(struct shelf *shelf, size_t size)
{
	struct block *block = shelf->first;

	if (block == NULL)
		return malloc(size);
	shelf->first = block->next;
	shelf->count--;
	return block;
}

static void
put(struct shelf *shelf, int depth, void *memory)
{
	struct block *block = memory;

	if (shelf->count == depth) {
		free(block);
		return;
	}
	block->next = shelf->first;
	shelf->first = block;
	shelf->count++;
}

static void *
allocate(size_t size, const char *file ATTR_UNUSED, int line ATTR_UNUSED)
{
	if (size == 0)
		return NULL; /* as OpenSSL's own does */
	/* The smallest shelf all of whose blocks hold `size` bytes. */
	if (size <= SMALL_LIMIT)
		return take(&small_shelves[(size + STEP - OFFSET - 1) / STEP], size);
	if (size >= RECORD_MIN && size <= RECORD_MAX)
		return take(&record_shelf, RECORD_MAX);
	if (size == MESSAGE)
		return take(&message_shelf, MESSAGE);
	return malloc(size);
}

static void *
reallocate(void *memory, size_t size, const char *file, int line)
{
	return memory == NULL ? allocate(size, file, line) : realloc(memory, size);
}

static void
let_go(void *memory, const char *file ATTR_UNUSED, int line ATTR_UNUSED)
{
	size_t holds = malloc_usable_size(memory); /* 0 of NULL */

	/* The largest shelf that promises no more than the block holds. A large block must be of the
	 * shelf's own size: a shelf of any that are large enough fills with larger ones. */
	if (holds >= OFFSET && holds < SMALL_LIMIT + STEP)
		put(&small_shelves[(holds - OFFSET) / STEP], SMALL_DEPTH, memory);
	else if (holds >= RECORD_MAX && holds < RECORD_MAX + STEP)
		put(&record_shelf, LARGE_DEPTH, memory);
	else if (holds >= MESSAGE && holds < MESSAGE + STEP)
		put(&message_shelf, LARGE_DEPTH, memory);
	else
		free(memory);
}

bool
tls_memory_use_shelves(void)
{
	return CRYPTO_set_mem_functions(allocate, reallocate, let_go) == 1;
}
