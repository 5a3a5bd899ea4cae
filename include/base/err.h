#ifndef CACHETUNNEL_BASE_ERR_H
#define CACHETUNNEL_BASE_ERR_H

#include "base/attributes.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * An error is a value: text for a person. The layer that fails says what failed, each layer
 * above may add "while doing what", and only tunnel, daemon and main log it, once.
 *
 * Messages are lower case, have no full stop, quote what came from outside in '…', and end with
 * what to do where that is known. The struct lives with whoever calls; nothing is allocated.
 */

enum { ERR_TEXT_SIZE = 512 };

struct err {
	char text[ERR_TEXT_SIZE];
};

/* Replaces the text. Always returns false, so that a failing function can end with it.
 * `err` may be NULL where nobody wants the text. Over-long text is cut. */
bool err_set(struct err *err, const char *format, ...) ATTR_PRINTF(2, 3);

/* As err_set(), followed by ": " and the text for `errno_value`. */
bool err_set_errno(struct err *err, int errno_value, const char *format, ...) ATTR_PRINTF(3, 4);

/* Puts "FORMAT: " in front of the text that is there. Always returns false. */
bool err_wrap(struct err *err, const char *format, ...) ATTR_PRINTF(2, 3);

#endif
