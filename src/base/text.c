#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The <ctype.h> functions follow the locale; a configuration must not. */
static char
lower(char letter)
{
	return letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
}

static bool
is_space(char letter)
{
	return letter == ' ' || (letter >= '\t' && letter <= '\r');
}

bool
text_equal_nocase(const char *left, const char *right)
{
	while (*left != '\0' && lower(*left) == lower(*right)) {
		left++;
		right++;
	}
	return lower(*left) == lower(*right);
}

char *
text_trim(char *text)
{
	while (is_space(*text))
		text++;
	size_t length = strlen(text);
	while (length > 0 && is_space(text[length - 1]))
		length--;
	text[length] = '\0';
	return text;
}

char *
text_escape(char *out, size_t size, const char *text)
{
	size_t length = 0;

	for (; size > 0 && length < size - 1 && text[length] != '\0'; length++)
		out[length] = text[length] >= ' ' && text[length] <= '~' ? text[length] : '.';
	if (size > 0)
		out[length] = '\0';
	return out;
}

/* The length of the letter at `text`, 0 where that is no UTF-8 (RFC 3629, section 4). */
static size_t
utf8_length(const unsigned char *text)
{
	static const struct {
		unsigned char first_min, first_max; /* of the first byte */
		unsigned char min, max;             /* of the second */
		size_t length;
	} forms[] = {
		{0x00, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		if (text[0] < forms[i].first_min || text[0] > forms[i].first_max)
			continue;
		if (forms[i].length > 1 && (text[1] < forms[i].min || text[1] > forms[i].max))
			return 0;
		for (size_t at = 2; at < forms[i].length; at++) {
			if (text[at] < 0x80 || text[at] > 0xbf)
				return 0;
		}
		return forms[i].length;
	}
	return 0;
}

char *
text_to_utf8(char *out, size_t size, const char *text)
{
	const unsigned char *from = (const unsigned char *)text;
	size_t used = 0;

	while (*from != '\0') {
		size_t length = utf8_length(from);
		char escaped[5];
		if (length == 0)
			(void)snprintf(escaped, sizeof escaped, "\\x%02x", *from);
		size_t added = length > 0 ? length : 4;
		if (used + added >= size)
			break;
		memcpy(out + used, length > 0 ? (const char *)from : escaped, added);
		used += added;
		from += length > 0 ? length : 1;
	}
	if (size > 0)
		out[used] = '\0';
	return out;
}

unsigned
text_distance(const char *left, const char *right)
{
	enum { LONGEST = 40 };
	unsigned row[LONGEST + 1];
	size_t left_length = strnlen(left, LONGEST);
	size_t right_length = strnlen(right, LONGEST);

	for (size_t j = 0; j <= right_length; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= left_length; i++) {
		unsigned diagonal = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= right_length; j++) {
			unsigned replaced = diagonal + (lower(left[i - 1]) != lower(right[j - 1]));
			unsigned skipped = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
			diagonal = row[j];
			row[j] = replaced < skipped ? replaced : skipped;
		}
	}
	return row[right_length];
}

bool
text_to_long(const char *text, long min, long max, long *ret_value)
{
	char *end = NULL;

	/* strtol() would take white space and '+' too. */
	if (text[0] != '-' && (text[0] < '0' || text[0] > '9'))
		return false;
	errno = 0;
	long value = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
		return false;
	*ret_value = value;
	return true;
}
