#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool
err_set(struct err *err, const char *format, ...)
{
	if (err == NULL)
		return false;

	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(err->text, sizeof err->text, format, arguments);
	va_end(arguments);
	return false;
}

bool
err_set_errno(struct err *err, int errno_value, const char *format, ...)
{
	if (err == NULL)
		return false;

	char reason[128];
	char what[ERR_TEXT_SIZE];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);

	/* POSIX's strerror_r; the Makefile asks for it rather than for GNU's. */
	if (strerror_r(errno_value, reason, sizeof reason) != 0)
		(void)snprintf(reason, sizeof reason, "error %d", errno_value);
	return err_set(err, "%s: %s", what, reason);
}

bool
err_wrap(struct err *err, const char *format, ...)
{
	if (err == NULL)
		return false;

	char context[ERR_TEXT_SIZE];
	char inner[ERR_TEXT_SIZE];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(context, sizeof context, format, arguments);
	va_end(arguments);

	memcpy(inner, err->text, sizeof inner);
	return err_set(err, "%s: %s", context, inner);
}
