#include "config/user_path.h"

#include "base/memory.h"
#include "base/text.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN_SIZE = 80 };

const char *
user_path_home(void)
{
	const char *home = getenv("HOME");
	const struct passwd *user = NULL;

	if (home != NULL && *home != '\0')
		return home;
	user = getpwuid(getuid());
	return user != NULL ? user->pw_dir : NULL;
}

/* `name` is what stands between '~' and the first '/'. */
static const char *
home_of(const char *name)
{
	const struct passwd *user = NULL;

	if (*name == '\0')
		return user_path_home();
	user = getpwnam(name);
	return user != NULL ? user->pw_dir : NULL;
}

/* `text` begins with '~'. */
static char *
expand_home(const char *text, struct err *err)
{
	char shown[SHOWN_SIZE];
	char *name = memory_copy_text(text + 1);

	name[strcspn(name, "/")] = '\0';
	const char *home = home_of(name);
	char *path = home != NULL ? memory_format("%s%s", home, text + 1 + strlen(name)) : NULL;
	if (path == NULL && *name != '\0')
		(void)err_set(err, "'~%s' means nothing: there is no such user on this system",
			      text_escape(shown, sizeof shown, name));
	else if (path == NULL)
		(void)err_set(err, "nobody knows the home directory that '~' stands for; set HOME, "
				   "or write the whole path");
	free(name);
	return path;
}

char *
user_path_expand(const char *text, struct err *err)
{
	static const char *const credential_prefixes[] = {"%d/", "${CREDENTIALS_DIRECTORY}/"};
	char shown[SHOWN_SIZE];

	if (*text == '~')
		return expand_home(text, err);
	for (size_t i = 0; i < ARRAY_LENGTH(credential_prefixes); i++) {
		size_t length = strlen(credential_prefixes[i]);
		if (strncmp(text, credential_prefixes[i], length) != 0)
			continue;
		const char *directory = getenv("CREDENTIALS_DIRECTORY");
		if (directory != NULL && *directory != '\0')
			return memory_format("%s/%s", directory, text + length);
		(void)err_set(err,
			      "'%s' needs CREDENTIALS_DIRECTORY in the environment, and it is not "
			      "set; systemd sets it for a unit with LoadCredential=",
			      text_escape(shown, sizeof shown, text));
		return NULL;
	}
	return memory_copy_text(text);
}

static bool
parse_path(const struct option_row *row, const char *text, struct location at, void *value,
	   struct err *err)
{
	char *path = NULL;

	if (*text == '\0')
		return err_set(err, "the value is empty");
	path = user_path_expand(text, err);
	bool is_good = path != NULL && option_type_path.parse(row, path, at, value, err);
	free(path);
	return is_good;
}

static bool
parse_paths(const struct option_row *row, const char *text, struct location at, void *value,
	    struct err *err)
{
	char *path = NULL;

	if (*text == '\0')
		return err_set(err, "the value is empty");
	path = user_path_expand(text, err);
	bool is_good = path != NULL && option_type_texts.parse(row, path, at, value, err);
	free(path);
	return is_good;
}

static void
clear_path(void *value)
{
	option_type_path.clear(value);
}

static void
clear_paths(void *value)
{
	option_type_texts.clear(value);
}

const struct option_type option_type_user_path = {
	.name = "path",
	.parse = parse_path,
	.clear = clear_path,
	.is_equal = option_is_equal_text,
};
const struct option_type option_type_user_paths = {
	.name = "path",
	.parse = parse_paths,
	.clear = clear_paths,
	.is_equal = option_is_equal_texts,
};
