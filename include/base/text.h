#ifndef CACHETUNNEL_BASE_TEXT_H
#define CACHETUNNEL_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Small helpers for text. None allocates. */

/* Whether two texts are equal, letters of either case alike (ASCII only, whatever the locale). */
bool text_equal_nocase(const char *left, const char *right);

/* Cuts white space off both ends of `text` in place; returns its new beginning. */
char *text_trim(char *text);

/* Copies `text` for a log or a terminal: bytes that do not print become '.', as in stunnel, so
 * that nothing from outside can forge a line or move a cursor. UTF-8 is not kept: what is shown
 * is what can be trusted. `size` counts the final NUL; longer text is cut. Returns `out`. */
char *text_escape(char *out, size_t size, const char *text);

/* Copies `text` for JSON and other formats that insist on UTF-8: what is none becomes "\xNN", byte by
 * byte, so that different texts stay different. `size` counts the final NUL; longer text is cut, and
 * never in the middle of a letter. Returns `out`. */
char *text_to_utf8(char *out, size_t size, const char *text);

/* How many single-letter changes turn one text into the other, letters of either case alike.
 * Both are cut at 40 bytes. For "did you mean …". */
unsigned text_distance(const char *left, const char *right);

/* Reads a whole decimal number; false where there is anything else, or outside [min, max]. */
bool text_to_long(const char *text, long min, long max, long *ret_value);

#endif
