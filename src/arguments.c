#include "arguments.h"

#include "base/text.h"
#include "config/bastion.h"
#include "config/options.h"
#include "notify.h"
#include "syscall_filter.h"

#include <ares.h>
#include <event2/event.h>
#include <jansson.h>
#include <libssh2.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/opensslv.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char default_path[] = CACHETUNNEL_SYSCONFDIR "/cachetunnel/cachetunnel.conf";

/* What an argument means depends on the subcommand; a set of these says for which ones it is. */
enum {
	FOR_RUN = 1 << 0,
	FOR_CHECK = 1 << 1,
	FOR_DOCTOR = 1 << 2,
	FOR_STATUS = 1 << 3,
	FOR_RELOAD = 1 << 4,
	FOR_STOP = 1 << 5,
	FOR_WAIT = 1 << 6,
	FOR_DAEMON = FOR_STATUS | FOR_RELOAD | FOR_STOP | FOR_WAIT, /* a running one */
	FOR_ALL = FOR_RUN | FOR_CHECK | FOR_DOCTOR | FOR_DAEMON,
};

struct subcommand {
	const char *name; /* NULL: none is written */
	enum command command;
	unsigned bit;
	bool takes_services; /* names of services may follow the file */
};

static const struct subcommand subcommands[] = {
	{"check", COMMAND_CHECK, FOR_CHECK, false},
	{"doctor", COMMAND_DOCTOR, FOR_DOCTOR, true},
	{"status", COMMAND_STATUS, FOR_STATUS, false},
	{"reload", COMMAND_RELOAD, FOR_RELOAD, false},
	{"stop", COMMAND_STOP, FOR_STOP, false},
	{"wait", COMMAND_WAIT, FOR_WAIT, false},
	{NULL, COMMAND_RUN, FOR_RUN, false},
};

/* A flag does its work on what is parsed so far; `value` is what follows it, for those that need
 * that. */
typedef bool flag_cb(struct arguments *arguments, const char *value, struct err *err);

struct flag {
	const char *names[3];
	unsigned is_for;
	bool needs_value;
	flag_cb *take;
};

static bool
take_foreground(struct arguments *arguments, const char *value ATTR_UNUSED,
		struct err *err ATTR_UNUSED)
{
	arguments->is_foreground = true;
	return true;
}

static bool
take_fd(struct arguments *arguments, const char *value, struct err *err)
{
	long fd;

	if (value == NULL || !text_to_long(value, 0, INT_MAX, &fd))
		return err_set(err, "-fd needs the number of an open descriptor");
	arguments->fd = (int)fd;
	return true;
}

static bool
take_json(struct arguments *arguments, const char *value ATTR_UNUSED, struct err *err ATTR_UNUSED)
{
	arguments->is_json = true;
	return true;
}

static bool
take_watch(struct arguments *arguments, const char *value ATTR_UNUSED, struct err *err ATTR_UNUSED)
{
	arguments->is_watching = true;
	return true;
}

static bool
take_upstream(struct arguments *arguments, const char *value ATTR_UNUSED,
	      struct err *err ATTR_UNUSED)
{
	arguments->is_upstream = true;
	return true;
}

static bool
take_patience(struct arguments *arguments, const char *value, struct err *err)
{
	enum { LONGEST_S = 7 * 24 * 3600 };
	long patience_s;

	if (value == NULL || !text_to_long(value, 1, LONGEST_S, &patience_s))
		return err_set(err, "--for needs a number of seconds, from 1 to %d", LONGEST_S);
	arguments->patience_s = (int)patience_s;
	return true;
}

static bool
take_socket(struct arguments *arguments, const char *value, struct err *err)
{
	if (value == NULL || *value == '\0')
		return err_set(err, "-c needs the path of a control socket");
	arguments->socket_path = value;
	return true;
}

static bool
take_help(struct arguments *arguments, const char *value ATTR_UNUSED, struct err *err ATTR_UNUSED)
{
	arguments->command = COMMAND_HELP;
	return true;
}

static bool
take_version(struct arguments *arguments, const char *value ATTR_UNUSED,
	     struct err *err ATTR_UNUSED)
{
	arguments->command = COMMAND_VERSION;
	return true;
}

static bool
take_options(struct arguments *arguments, const char *value ATTR_UNUSED,
	     struct err *err ATTR_UNUSED)
{
	arguments->command = COMMAND_OPTIONS;
	return true;
}

static const struct flag flags[] = {
	{{"-f", "--foreground"}, FOR_RUN | FOR_CHECK, false, take_foreground},
	{{"-fd"}, FOR_RUN | FOR_CHECK, true, take_fd},
	{{"--json"}, FOR_DOCTOR | FOR_STATUS, false, take_json},
	{{"--watch"}, FOR_STATUS, false, take_watch},
	{{"--upstream"}, FOR_WAIT, false, take_upstream},
	{{"--for"}, FOR_WAIT | FOR_STOP, true, take_patience},
	{{"-c"}, FOR_DAEMON, true, take_socket},
	{{"-h", "-help", "--help"}, FOR_ALL, false, take_help},
	{{"-version", "--version"}, FOR_ALL, false, take_version},
	{{"-options", "--options"}, FOR_ALL, false, take_options},
};

static const struct flag *
find_flag(const char *argument, unsigned bit)
{
	for (size_t i = 0; i < ARRAY_LENGTH(flags); i++) {
		for (size_t j = 0; j < ARRAY_LENGTH(flags[i].names); j++) {
			const char *name = flags[i].names[j];
			if (name != NULL && (flags[i].is_for & bit) != 0 &&
			    strcmp(argument, name) == 0)
				return &flags[i];
		}
	}
	return NULL;
}

static const struct subcommand *
find_subcommand(const char *argument)
{
	const struct subcommand *subcommand = subcommands;

	while (subcommand->name != NULL &&
	       (argument == NULL || strcmp(argument, subcommand->name) != 0))
		subcommand++;
	return subcommand;
}

/* The first word is a file, unless there are services and it can only be one. */
static bool
is_file(const struct subcommand *subcommand, const char *word)
{
	return !subcommand->takes_services || strchr(word, '/') != NULL || access(word, F_OK) == 0;
}

/* What is no flag: the file, then services. */
static bool
take_words(const struct subcommand *subcommand, char **words, struct arguments *arguments,
	   struct err *err)
{
	if (*words != NULL && is_file(subcommand, *words))
		arguments->path = *words++;
	if (!subcommand->takes_services && *words != NULL)
		return err_set(err, "one configuration file is enough: '%s' is one too many",
			       *words);
	arguments->services = (const char *const *)words;
	if (arguments->fd >= 0 && arguments->path != NULL)
		return err_set(err, "-fd and a configuration file exclude each other");
	if (arguments->path == NULL) {
		arguments->path = default_path;
		arguments->is_default_path = true;
	}
	return true;
}

bool
arguments_parse(int argc, char **argv, struct arguments *ret_arguments, struct err *err)
{
	const struct subcommand *subcommand = find_subcommand(argc > 1 ? argv[1] : NULL);
	struct arguments parsed = {.command = subcommand->command, .fd = -1};
	char **words = argv; /* are moved to the front, over what has been read */
	size_t word_count = 0;

	for (int at = subcommand->name != NULL ? 2 : 1; at < argc; at++) {
		const struct flag *flag = find_flag(argv[at], subcommand->bit);
		if (flag != NULL) {
			const char *value = flag->needs_value && at + 1 < argc ? argv[++at] : NULL;
			if (!flag->take(&parsed, value, err))
				return false;
		} else if (argv[at][0] == '-') {
			return err_set(err, "unknown option '%s'", argv[at]);
		} else {
			words[word_count++] = argv[at];
		}
	}
	words[word_count] = NULL;
	if (!take_words(subcommand, words, &parsed, err))
		return false;
	*ret_arguments = parsed;
	return true;
}

void
arguments_print_help(void)
{
	(void)printf(
		"Usage: cachetunnel [-f|--foreground] [FILE]   run, as FILE says\n"
		"       cachetunnel check [FILE]               validate FILE and all it names\n"
		"       cachetunnel doctor [FILE] [SERVICE...] walk each service's way to its cache, and\n"
		"                                              say where it ends, why, and what to do\n"
		"       cachetunnel status [-c SOCKET | FILE]  tell how the running daemon is\n"
		"       cachetunnel reload [-c SOCKET | FILE]  have it read its configuration anew\n"
		"       cachetunnel stop [-c SOCKET | FILE]    have it stop, and wait until it has\n"
		"       cachetunnel wait [-c SOCKET | FILE]    wait until it is ready\n"
		"\n"
		"  -f, --foreground   stay attached, and log to standard error too\n"
		"  -fd N              read the configuration from the open descriptor N\n"
		"  -c SOCKET          the daemon's control socket; otherwise the one that FILE means\n"
		"      --json             of doctor and status: JSON instead of lines\n"
		"      --watch            of status: again and again\n"
		"      --for SECONDS      of wait and stop: give up after so long (default: 60)\n"
		"      --upstream         of wait: until every service's cache has answered, too\n"
		"      --options      list every option that a configuration may have\n"
		"      --version      tell the versions of cachetunnel and its libraries\n"
		"      --help         this text\n"
		"\n"
		"FILE is %s unless given, in stunnel's format.\n"
		"Manual: cachetunnel(8), cachetunnel.conf(5).\n",
		default_path);
}

void
arguments_print_version(void)
{
	(void)printf("cachetunnel %s\n"
		     "OpenSSL: compiled %s, running %s\n"
		     "libevent: compiled %s, running %s\n"
		     "c-ares: compiled %s, running %s\n"
		     "libssh2: compiled %s, running %s\n"
		     "inih: compiled r%s\n"
		     "jansson: compiled %s\n"
		     "systemd: %s\n"
		     "system call filter: %s\n",
		     CACHETUNNEL_VERSION, OPENSSL_VERSION_STR,
		     OpenSSL_version(OPENSSL_VERSION_STRING), LIBEVENT_VERSION, event_get_version(),
		     ARES_VERSION_STR, ares_version(NULL), LIBSSH2_VERSION, libssh2_version(0),
		     CACHETUNNEL_INIH_VERSION, JANSSON_VERSION, notify_description(),
		     syscall_filter_description());
}

static void
print_choices(const struct option_row *row)
{
	const char *separator = "";

	for (const struct option_choice *choice = row->choices; choice->name != NULL; choice++) {
		(void)printf("%s%s", separator, choice->name);
		separator = "|";
	}
}

static void
print_honoured(const struct option_row *row)
{
	(void)printf("  %s = ", row->name);
	if (row->choices != NULL)
		print_choices(row);
	else
		(void)printf("%s", row->type->name);
	if (row->fallback != NULL)
		(void)printf("   (default: %s)", row->fallback);
	(void)printf("\n\t%s\n", row->help);
}

static void
print_treatment(const struct option_table *table, enum option_treatment treatment)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option_row *row = &table->rows[i];
		if (row->treatment != treatment)
			continue;
		if (treatment == OPTION_HONOURED)
			print_honoured(row);
		else
			(void)printf("  %s\n\t%s\n", row->name, row->help);
	}
}

void
arguments_print_options(void)
{
	(void)printf("Global options, before the first [section]:\n\n");
	print_treatment(&global_options_table, OPTION_HONOURED);
	(void)printf("\nService options, in a [section], or before the first as defaults:\n\n");
	print_treatment(&service_options_table, OPTION_HONOURED);
	(void)printf("\nBastion options, in a [bastion NAME] section:\n\n");
	print_treatment(&bastion_options_table, OPTION_HONOURED);
	(void)printf("\nstunnel's options that are accepted and have no effect here:\n\n");
	print_treatment(&global_options_table, OPTION_NOTED);
	print_treatment(&service_options_table, OPTION_NOTED);
	(void)printf("\nstunnel's options that are refused:\n\n");
	print_treatment(&global_options_table, OPTION_REFUSED);
	print_treatment(&service_options_table, OPTION_REFUSED);
}
