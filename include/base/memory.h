#ifndef CACHETUNNEL_BASE_MEMORY_H
#define CACHETUNNEL_BASE_MEMORY_H

#include "base/attributes.h"

#include <stddef.h>

/*
 * Allocation for start-up and configuration, where running out of memory leaves nothing
 * sensible to do: these end the process with a message. What serves a tunnel uses malloc() and
 * checks it, because one client too many must not cost all others their connections.
 */

/* Return owned, zeroed memory, released by free(). Never NULL. */
void *memory_zero(size_t size);

/* Grows `memory` (NULL is fine) to `count` elements of `size` bytes. Takes `memory`, returns
 * owned. New bytes are not initialised. */
void *memory_grow(void *memory, size_t count, size_t size);

/* Returns an owned copy of `text`, or NULL for NULL. */
char *memory_copy_text(const char *text);

/* Returns an owned, formatted text. */
char *memory_format(const char *format, ...) ATTR_PRINTF(1, 2);

#endif
