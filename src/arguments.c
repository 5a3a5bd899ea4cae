#include "arguments.h"

#include "base/text.h"
#include "config/bastion.h"
#include "config/options.h"
#include "notify.h"

#include <ares.h>
#include <event2/event.h>
#include <libssh2.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/opensslv.h>
#include <stdio.h>
#include <string.h>

static const char default_path[] = CACHETUNNEL_SYSCONFDIR "/cachetunnel/cachetunnel.conf";

static bool
is_any_of(const char *argument, const char *first, const char *second)
{
	return strcmp(argument, first) == 0 || strcmp(argument, second) == 0;
}

bool
arguments_parse(int argc, char **argv, struct arguments *ret_arguments, struct err *err)
{
	struct arguments parsed = {.command = COMMAND_RUN, .fd = -1};
	int at = 1;
	long fd;

	if (at < argc && strcmp(argv[at], "check") == 0) {
		parsed.command = COMMAND_CHECK;
		at++;
	}
	for (; at < argc; at++) {
		const char *argument = argv[at];
		if (is_any_of(argument, "-f", "--foreground")) {
			parsed.is_foreground = true;
		} else if (strcmp(argument, "-fd") == 0) {
			if (++at == argc || !text_to_long(argv[at], 0, INT_MAX, &fd))
				return err_set(err, "-fd needs the number of an open descriptor");
			parsed.fd = (int)fd;
		} else if (is_any_of(argument, "--help", "-help") || strcmp(argument, "-h") == 0) {
			parsed.command = COMMAND_HELP;
		} else if (is_any_of(argument, "--version", "-version")) {
			parsed.command = COMMAND_VERSION;
		} else if (is_any_of(argument, "--options", "-options")) {
			parsed.command = COMMAND_OPTIONS;
		} else if (argument[0] == '-') {
			return err_set(err, "unknown option '%s'", argument);
		} else if (parsed.path != NULL) {
			return err_set(err,
				       "one configuration file is enough: '%s' is one too many",
				       argument);
		} else {
			parsed.path = argument;
		}
	}
	if (parsed.fd >= 0 && parsed.path != NULL)
		return err_set(err, "-fd and a configuration file exclude each other");
	if (parsed.path == NULL)
		parsed.path = default_path;
	*ret_arguments = parsed;
	return true;
}

void
arguments_print_help(void)
{
	(void)printf(
		"Usage: cachetunnel [-f|--foreground] [FILE]   run, as FILE says\n"
		"       cachetunnel check [FILE]               validate FILE and all it names\n"
		"\n"
		"  -f, --foreground   stay attached, and log to standard error too\n"
		"  -fd N              read the configuration from the open descriptor N\n"
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
		     "systemd: %s\n",
		     CACHETUNNEL_VERSION, OPENSSL_VERSION_STR,
		     OpenSSL_version(OPENSSL_VERSION_STRING), LIBEVENT_VERSION, event_get_version(),
		     ARES_VERSION_STR, ares_version(NULL), LIBSSH2_VERSION, libssh2_version(0),
		     CACHETUNNEL_INIH_VERSION, notify_description());
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
