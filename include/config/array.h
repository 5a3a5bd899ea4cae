#ifndef CACHETUNNEL_CONFIG_ARRAY_H
#define CACHETUNNEL_CONFIG_ARRAY_H

#include "base/memory.h"

#include <stddef.h>

/*
 * Arrays that grow one element at a time while a configuration is read. They double, so that
 * reading stays linear, and their capacity follows from their count, so that nobody stores it.
 */

/* Makes room for element number `count` of `size` bytes. Takes `items`, returns owned. */
static inline void *
array_make_room(void *items, size_t count, size_t size)
{
	if ((count & (count - 1)) != 0)
		return items;
	return memory_grow(items, count == 0 ? 1 : 2 * count, size);
}

#endif
