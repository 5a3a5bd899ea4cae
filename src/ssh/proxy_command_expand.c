#include "base/buffer.h"
#include "ssh/proxy_command.h"

#include <stdio.h>
#include <string.h>

static bool
append_text(struct buffer *out, const char *text)
{
	return buffer_append(out, text, strlen(text));
}

/* Single quotes keep everything as it is but themselves. */
static bool
append_quoted(struct buffer *out, const char *value)
{
	static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "0123456789._-:@";

	if (value[0] != '\0' && value[strspn(value, harmless)] == '\0')
		return append_text(out, value);
	if (!append_text(out, "'"))
		return false;
	for (; *value != '\0'; value++) {
		if (!(*value == '\'' ? append_text(out, "'\\''") : buffer_append(out, value, 1)))
			return false;
	}
	return append_text(out, "'");
}

static bool
append_name(struct buffer *out, const char *what, const char *value, struct err *err)
{
	if (value[0] == '-')
		return err_set(err, "the %s '%s' would be taken as an option of proxyCommand", what,
			       value);
	return append_quoted(out, value) || err_set(err, "no memory for proxyCommand");
}

char *
proxy_command_expand(const char *text, const char *host, unsigned port, const char *user,
		     struct err *err)
{
	struct buffer out;
	char number[16];
	bool is_fine = true;

	buffer_init(&out);
	(void)err_set(err, "no memory for proxyCommand");
	(void)snprintf(number, sizeof number, "%u", port);
	for (; *text != '\0' && is_fine; text++) {
		if (*text != '%') {
			is_fine = buffer_append(&out, text, 1);
			continue;
		}
		text++;
		if (*text == 'h')
			is_fine = append_name(&out, "host", host, err);
		else if (*text == 'r')
			is_fine = append_name(&out, "user", user, err);
		else if (*text == 'p')
			is_fine = append_text(&out, number);
		else if (*text == '%')
			is_fine = append_text(&out, "%");
		else
			is_fine = err_set(err,
					  "proxyCommand has '%%%.1s', which means nothing; it may "
					  "have %%h (host), %%p (port), %%r (user) and %%%%",
					  text);
		if (!is_fine)
			break; /* not beyond a '%' at the very end */
	}
	if (!is_fine || !buffer_append(&out, "", 1)) {
		buffer_done(&out);
		return NULL;
	}
	return (char *)out.data;
}
