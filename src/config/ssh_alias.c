#include "config/ssh_alias.h"

#include "base/memory.h"
#include "base/text.h"
#include "config/array.h"
#include "config/ssh_query.h"
#include "config/user_path.h"

#include <assert.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HOST_NAME_SIZE = 256, SHOWN_SIZE = 80 };

/* A line of the answer: a keyword in lower case and what follows it. */
struct setting {
	const char *keyword;
	const char *value;
};

/* What a translation needs, while it runs. */
struct answer {
	const char *name; /* as asked for */
	struct location at;
	struct bastion_options *options;
	struct report *report;
	struct setting *settings; /* owned; the texts are in the output */
	size_t count;
};

static void
split_answer(struct answer *answer, char *output)
{
	char *rest = NULL;

	for (char *line = strtok_r(output, "\r\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\r\n", &rest)) {
		char *keyword = text_trim(line);
		size_t length = strcspn(keyword, " \t");
		char *value = keyword + length;
		if (*value != '\0')
			*value++ = '\0';
		answer->settings = array_make_room(answer->settings, answer->count,
						   sizeof *answer->settings);
		answer->settings[answer->count++] = (struct setting){
			.keyword = keyword,
			.value = text_trim(value),
		};
	}
}

/* The value of the first line with this keyword; NULL: there is none, or it says none. */
static const char *
find_value(const struct answer *answer, const char *keyword)
{
	for (size_t i = 0; i < answer->count; i++) {
		const char *value = answer->settings[i].value;
		if (text_equal_nocase(answer->settings[i].keyword, keyword))
			return *value == '\0' || text_equal_nocase(value, "none") ? NULL : value;
	}
	return NULL;
}

static const char *
local_user(void)
{
	const struct passwd *user = getpwuid(getuid());

	return user != NULL ? user->pw_name : "";
}

static void
warn(const struct answer *answer, const char *keyword, const char *what)
{
	report_add(answer->report, REPORT_WARNING, answer->at,
		   "what ssh's configuration says of '%.80s' is used without its %s: %s",
		   answer->name, keyword, what);
}

/* Sets one of our options; `at` as in text_item. */
static void
set_at(struct answer *answer, const char *option, const char *value, struct location at,
       const char *keyword)
{
	const struct option_row *row = option_find(&bastion_options_table, option);
	struct err err;

	assert(row != NULL);
	if (!option_set(row, value, at, answer->options, &err))
		warn(answer, keyword, err.text);
}

static void
set(struct answer *answer, const char *option, const char *value, const char *keyword)
{
	if (value != NULL)
		set_at(answer, option, value, answer->at, keyword);
}

/* What ssh_config(5), "TOKENS", means by % and `letter`. Returns owned; NULL: it is not among
 * those that we know. */
static char *
token_value(const struct answer *answer, char letter)
{
	char local_host[HOST_NAME_SIZE] = "";
	const char *value = NULL;

	switch (letter) {
	case '%':
		return memory_copy_text("%");
	case 'd':
		return memory_copy_text(user_path_home());
	case 'h':
		return memory_copy_text(find_value(answer, "hostname"));
	case 'i':
		return memory_format("%lu", (unsigned long)getuid());
	case 'k':
		value = find_value(answer, "hostkeyalias");
		return memory_copy_text(value != NULL ? value : answer->name);
	case 'L':
	case 'l':
		(void)gethostname(local_host, sizeof local_host - 1);
		if (letter == 'L')
			local_host[strcspn(local_host, ".")] = '\0';
		return memory_copy_text(local_host);
	case 'n':
		return memory_copy_text(answer->name);
	case 'p':
		return memory_copy_text(find_value(answer, "port"));
	case 'r':
		return memory_copy_text(find_value(answer, "user"));
	case 'u':
		return memory_copy_text(local_user());
	default:
		return NULL;
	}
}

/* The length of `${NAME}` at the beginning of `text`; 0: there is none. */
static size_t
variable_length(const char *text)
{
	const char *end = strncmp(text, "${", 2) == 0 ? strchr(text, '}') : NULL;

	return end != NULL ? (size_t)(end - text) + 1 : 0;
}

/* `text` is `${NAME}` of `length` bytes. Returns owned; NULL: not set. */
static char *
variable_value(const char *text, size_t length)
{
	char *name = memory_copy_text(text + 2);

	name[length - 3] = '\0';
	char *value = memory_copy_text(getenv(name));
	free(name);
	return value;
}

/* Appends `added` of `length` bytes to the owned `text`. */
static char *
append(char *text, const char *added, size_t length)
{
	size_t used = strlen(text);

	text = memory_grow(text, used + length + 1, 1);
	memcpy(text + used, added, length);
	text[used + length] = '\0';
	return text;
}

/* The piece that `text` begins with, expanded; `*ret_length` of it are used up. For a command
 * the tokens that our own option has stay, and the shell sees to the environment. Returns owned;
 * NULL: it cannot be expanded. */
static char *
expand_piece(const struct answer *answer, const char *text, bool is_command, size_t *ret_length)
{
	size_t plain = strcspn(text, is_command ? "%" : "%$");
	size_t variable = is_command ? 0 : variable_length(text);

	if (plain == 0 && variable > 0) {
		*ret_length = variable;
		return variable_value(text, variable);
	}
	if (plain == 0 && *text == '%') {
		*ret_length = text[1] != '\0' ? 2 : 1;
		if (is_command && text[1] != '\0' && strchr("hpr%", text[1]) != NULL)
			return memory_format("%%%c", text[1]);
		return token_value(answer, text[1]);
	}
	*ret_length = plain > 0 ? plain : 1;
	return memory_format("%.*s", (int)*ret_length, text);
}

/* Expands what ssh itself would, later than -G shows it. Returns owned; NULL after a warning. */
static char *
expand(const struct answer *answer, const char *text, bool is_command, const char *keyword)
{
	char *expanded = memory_copy_text("");

	while (*text != '\0') {
		size_t length = 0;
		char *piece = expand_piece(answer, text, is_command, &length);
		if (piece == NULL) {
			char what[SHOWN_SIZE + 40];
			(void)snprintf(what, sizeof what, "'%.*s' cannot be expanded", SHOWN_SIZE,
				       text);
			warn(answer, keyword, what);
			free(expanded);
			return NULL;
		}
		expanded = append(expanded, piece, strlen(piece));
		free(piece);
		text += length;
	}
	return expanded;
}

static void
set_expanded(struct answer *answer, const char *option, const char *value, struct location at,
	     const char *keyword)
{
	char *expanded = expand(answer, value, false, keyword);

	if (expanded != NULL)
		set_at(answer, option, expanded, at, keyword);
	free(expanded);
}

enum identity_kind {
	IDENTITY_WRITTEN,
	IDENTITY_DEFAULT,
	IDENTITY_USELESS, /* a default of a kind that we cannot log in with, or "none" */
};

/* ssh lists its default files as if somebody had written them. */
static enum identity_kind
identity_kind(const char *file)
{
	static const char *const useful[] = {"~/.ssh/id_rsa", "~/.ssh/id_ecdsa",
					     "~/.ssh/id_ed25519"};
	static const char *const useless[] = {"~/.ssh/id_ecdsa_sk", "~/.ssh/id_ed25519_sk",
					      "~/.ssh/id_xmss", "~/.ssh/id_dsa", "none"};

	for (size_t i = 0; i < ARRAY_LENGTH(useful); i++) {
		if (strcmp(file, useful[i]) == 0)
			return IDENTITY_DEFAULT;
	}
	for (size_t i = 0; i < ARRAY_LENGTH(useless); i++) {
		if (strcmp(file, useless[i]) == 0)
			return IDENTITY_USELESS;
	}
	return IDENTITY_WRITTEN;
}

static void
take_identities(struct answer *answer, struct ssh_alias *alias)
{
	for (size_t i = 0; i < answer->count; i++) {
		struct location at = {0};
		if (!text_equal_nocase(answer->settings[i].keyword, "identityfile"))
			continue;
		switch (identity_kind(answer->settings[i].value)) {
		case IDENTITY_USELESS:
			continue;
		case IDENTITY_WRITTEN:
			alias->is_known = true;
			at = answer->at;
			break;
		case IDENTITY_DEFAULT:
			break;
		}
		set_expanded(answer, "identityFile", answer->settings[i].value, at, "IdentityFile");
	}
}

/* Several files in one line. A missing one is never a remark: ssh lists its defaults here. */
static void
take_known_hosts(struct answer *answer, const char *keyword, const char *shown)
{
	const char *value = find_value(answer, keyword);
	char *copy = memory_copy_text(value != NULL ? value : "");
	char *rest = NULL;

	for (char *file = strtok_r(copy, " \t", &rest); file != NULL;
	     file = strtok_r(NULL, " \t", &rest))
		set_expanded(answer, "knownHosts", file, (struct location){0}, shown);
	free(copy);
}

static void
take_agent(struct answer *answer)
{
	for (size_t i = 0; i < answer->count; i++) {
		const char *value = answer->settings[i].value;
		if (!text_equal_nocase(answer->settings[i].keyword, "identityagent"))
			continue;
		if (*value == '$' && value[1] != '{')
			set(answer, "identityAgent", value, "IdentityAgent");
		else
			set_expanded(answer, "identityAgent", value, answer->at, "IdentityAgent");
	}
}

static void
take_host_key_check(struct answer *answer)
{
	static const struct {
		const char *theirs;
		const char *ours;
	} words[] = {
		{"yes", "yes"},  {"true", "yes"}, {"ask", "yes"}, {"accept-new", "accept-new"},
		{"false", "no"}, {"no", "no"},    {"off", "no"},
	};
	const char *value = find_value(answer, "stricthostkeychecking");

	for (size_t i = 0; value != NULL && i < ARRAY_LENGTH(words); i++) {
		if (text_equal_nocase(value, words[i].theirs))
			set(answer, "hostKeyCheck", words[i].ours, "StrictHostKeyChecking");
	}
}

/* A number, unless it is 0: ssh's word for never or for the system's choice. */
static void
take_number(struct answer *answer, const char *keyword, const char *option, const char *shown)
{
	const char *value = find_value(answer, keyword);

	if (value != NULL && strcmp(value, "0") != 0)
		set(answer, option, value, shown);
}

static void
take_route(struct answer *answer, struct ssh_alias *alias)
{
	const char *command = find_value(answer, "proxycommand");

	alias->jump = memory_copy_text(find_value(answer, "proxyjump"));
	if (alias->jump != NULL || command == NULL)
		return;
	char *expanded = expand(answer, command, true, "ProxyCommand");
	set(answer, "proxyCommand", expanded, "ProxyCommand");
	free(expanded);
}

static void
take_all(struct answer *answer, struct ssh_alias *alias)
{
	const char *host = find_value(answer, "hostname");
	const char *user = find_value(answer, "user");
	const char *port = find_value(answer, "port");

	set(answer, "host", host, "HostName");
	set(answer, "port", port, "Port");
	set(answer, "user", user, "User");
	set(answer, "hostKeyAlias", find_value(answer, "hostkeyalias"), "HostKeyAlias");
	take_host_key_check(answer);
	take_number(answer, "connecttimeout", "TIMEOUTconnect", "ConnectTimeout");
	take_number(answer, "serveraliveinterval", "aliveInterval", "ServerAliveInterval");
	take_number(answer, "serveralivecountmax", "aliveCount", "ServerAliveCountMax");
	take_agent(answer);
	set(answer, "identitiesOnly", find_value(answer, "identitiesonly"), "IdentitiesOnly");
	take_known_hosts(answer, "userknownhostsfile", "UserKnownHostsFile");
	take_known_hosts(answer, "globalknownhostsfile", "GlobalKnownHostsFile");
	take_identities(answer, alias);
	take_route(answer, alias);
	if (alias->jump != NULL || answer->options->proxy_command != NULL ||
	    (host != NULL && !text_equal_nocase(host, answer->name)) ||
	    (user != NULL && strcmp(user, local_user()) != 0) ||
	    (port != NULL && strcmp(port, "22") != 0))
		alias->is_known = true;
}

bool
ssh_alias_look_up(const char *name, struct location at, struct bastion_options *options,
		  struct ssh_alias *ret_alias, struct report *report, struct err *err)
{
	struct answer answer = {.name = name, .at = at, .options = options, .report = report};
	char shown[SHOWN_SIZE];
	char *output = NULL;

	*ret_alias = (struct ssh_alias){0};
	if (!ssh_query(name, &output, err))
		return false;
	split_answer(&answer, output);
	take_all(&answer, ret_alias);
	/* Without its proxy command a host may be another one, or be reached past a guard. */
	bool lacks_command = ret_alias->jump == NULL && options->proxy_command == NULL &&
			     find_value(&answer, "proxycommand") != NULL;
	ret_alias->is_guarded = lacks_command;
	free(answer.settings);
	free(output);
	if (options->host != NULL && !lacks_command)
		return true;
	free(ret_alias->jump);
	ret_alias->jump = NULL;
	return err_set(err, "'ssh -G %s': %s", text_escape(shown, sizeof shown, name),
		       lacks_command ? "its ProxyCommand cannot be used here" : "it has no host");
}
