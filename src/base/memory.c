#include "base/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
must_have(void *memory)
{
	if (memory == NULL) {
		(void)fputs("cachetunnel: out of memory\n", stderr);
		abort();
	}
	return memory;
}

void *
memory_zero(size_t size)
{
	return must_have(calloc(1, size == 0 ? 1 : size));
}

void *
memory_grow(void *memory, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return must_have(NULL);
	return must_have(realloc(memory, count * size == 0 ? 1 : count * size));
}

char *
memory_copy_text(const char *text)
{
	if (text == NULL)
		return NULL;
	return must_have(strdup(text));
}

char *
memory_format(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);

	size_t size = length < 0 ? 1 : (size_t)length + 1;
	char *text = memory_zero(size);
	va_start(arguments, format);
	(void)vsnprintf(text, size, format, arguments);
	va_end(arguments);
	return text;
}
