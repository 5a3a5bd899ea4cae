#include "base/text.h"

#include <errno.h>
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
