#include "config/bastion_types.h"

#include "base/memory.h"
#include "base/text.h"
#include "config/address.h"
#include "config/user_path.h"

#include <stdlib.h>
#include <string.h>

#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

enum {
	SHA256_BASE64_LENGTH = 43, /* of 32 bytes, without padding */
	SHOWN_SIZE = 80,
};

static bool
parse_host(const struct option_row *row, const char *text, struct location at, void *value,
	   struct err *err)
{
	size_t length = strlen(text);
	bool has_brackets = length > 2 && text[0] == '[' && text[length - 1] == ']';
	char *host = memory_copy_text(has_brackets ? text + 1 : text);

	if (has_brackets)
		host[length - 2] = '\0';
	bool is_good = address_is_host(host) && (!has_brackets || strchr(host, ':') != NULL);
	if (is_good)
		is_good = option_type_word.parse(row, host, at, value, err);
	else
		(void)option_bad_value(row, text, err,
				       "must be a host's name or IP address alone; a port belongs "
				       "in 'port', a user in 'user'");
	free(host);
	return is_good;
}

/* `$NAME`: the path is in the environment. */
static bool
read_variable(const char *text, const char **ret_path, struct err *err)
{
	char shown[SHOWN_SIZE];
	const char *path = getenv(text + 1);

	*ret_path = path;
	if (path != NULL && *path != '\0')
		return true;
	return err_set(err, "'%s' is not set in the environment",
		       text_escape(shown, sizeof shown, text));
}

static bool
parse_agent(const struct option_row *row, const char *text, struct location at, void *value,
	    struct err *err)
{
	const char *path = text;

	if (strcmp(text, "SSH_AUTH_SOCK") == 0 || strcmp(text, "$SSH_AUTH_SOCK") == 0) {
		option_type_word.clear(value);
		return true;
	}
	if (text_equal_nocase(text, "none"))
		return option_type_word.parse(row, "none", at, value, err);
	if (*text == '$' && strchr(text, '/') == NULL && !read_variable(text, &path, err))
		return false;
	return option_type_user_path.parse(row, path, at, value, err);
}

static bool
parse_proxy_command(const struct option_row *row, const char *text, struct location at, void *value,
		    struct err *err)
{
	for (const char *percent = strchr(text, '%'); percent != NULL;
	     percent = strchr(percent + 2, '%')) {
		if (percent[1] != '\0' && strchr("hpr%", percent[1]) != NULL)
			continue;
		return option_bad_value(row, text, err,
					"has '%%%.1s', which means nothing here; there are %%h "
					"(host), %%p (port), %%r (user) and %%%% for a '%%'",
					percent + 1);
	}
	return option_type_word.parse(row, text, at, value, err);
}

static bool
parse_fingerprints(const struct option_row *row, const char *text, struct location at, void *value,
		   struct err *err)
{
	static const char prefix[] = "SHA256:";
	const char *digits = text + sizeof prefix - 1;

	if (strncmp(text, prefix, sizeof prefix - 1) != 0 ||
	    strlen(digits) != SHA256_BASE64_LENGTH || strspn(digits, BASE64) != strlen(digits))
		return option_bad_value(row, text, err,
					"must be SHA256: and %d letters, as 'ssh-keygen -lf FILE' "
					"shows for a host's public key",
					SHA256_BASE64_LENGTH);
	return option_type_texts.parse(row, text, at, value, err);
}

static void
clear_word(void *value)
{
	option_type_word.clear(value);
}

static void
clear_texts(void *value)
{
	option_type_texts.clear(value);
}

const struct option_type option_type_host = {
	.name = "host",
	.parse = parse_host,
	.clear = clear_word,
	.is_equal = option_is_equal_text,
};
const struct option_type option_type_ssh_agent = {
	.name = "path|none|SSH_AUTH_SOCK",
	.parse = parse_agent,
	.clear = clear_word,
	.is_equal = option_is_equal_text,
};
const struct option_type option_type_proxy_command = {
	.name = "command",
	.parse = parse_proxy_command,
	.clear = clear_word,
	.is_equal = option_is_equal_text,
};
const struct option_type option_type_fingerprints = {
	.name = "SHA256:fingerprint",
	.parse = parse_fingerprints,
	.clear = clear_texts,
	.is_equal = option_is_equal_texts,
};
