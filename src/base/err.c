#include "base/err.h"

#include <errno.h>
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
	err->kind = ERR_OTHER;
	return false;
}

static enum err_kind
kind_of(int errno_value)
{
	switch (errno_value) {
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECONNREFUSED:
		return ERR_REFUSED;
	case ENETUNREACH:
	case ENETDOWN:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case EADDRNOTAVAIL:
		return ERR_UNREACHABLE;
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
		return ERR_DISCONNECTED;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return ERR_EXHAUSTED;
	default:
		return ERR_OTHER;
	}
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
	(void)err_set(err, "%s: %s", what, reason);
	return err_mark(err, kind_of(errno_value));
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

	enum err_kind kind = err->kind;
	memcpy(inner, err->text, sizeof inner);
	(void)err_set(err, "%s: %s", context, inner);
	return err_mark(err, kind);
}

bool
err_mark(struct err *err, enum err_kind kind)
{
	if (err != NULL)
		err->kind = kind;
	return false;
}
