#include "config/config.h"
#include "config/ssh_query.h"

#include "config_text.h"

#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SERVICE "[s]\nclient = yes\naccept = 1\nconnect = cache.example.com:6379\n"
#define SECOND "[t]\nclient = yes\naccept = 2\nconnect = cache.example.com:6380\n"

enum { PATH_SIZE = 128, TEXT_SIZE = 1024 };

static char folder[64]; /* of its own for each test */

static void
path_of(const char *name, char *out)
{
	(void)snprintf(out, PATH_SIZE, "%s/%s", folder, name);
}

static void
write_file(const char *name, const char *text)
{
	char path[PATH_SIZE];

	path_of(name, path);
	FILE *stream = fopen(path, "w");
	assert_non_null(stream);
	assert_true(fputs(text, stream) >= 0);
	assert_int_equal(fclose(stream), 0);
	assert_int_equal(chmod(path, 0700), 0);
}

static int
make_folder(void **state ATTR_UNUSED)
{
	char path[PATH_SIZE];

	strcpy(folder, "/tmp/test_bastion_alias.XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	path_of("ssh", path);
	return setenv("CACHETUNNEL_SSH", path, 1) != 0 || setenv("HOME", "/home/me", 1) != 0;
}

static int
remove_folder(void **state ATTR_UNUSED)
{
	static const char *const names[] = {"ssh", "config", "asked"};
	char path[PATH_SIZE];

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		path_of(names[i], path);
		(void)remove(path);
	}
	return rmdir(folder);
}

/* A stand-in for ssh that notes what it is asked for, and then does as `commands` say. */
static void
write_ssh(const char *commands)
{
	char text[4 * TEXT_SIZE];

	assert_true(snprintf(text, sizeof text, "#!/bin/sh\necho \"$#:$1:$2\" >> %s/asked\n%s\n",
			     folder, commands) < (int)sizeof text);
	write_file("ssh", text);
}

/* How often the stand-in has run, and that each time it was with `-G` and one name. */
static unsigned
count_questions(void)
{
	char path[PATH_SIZE];
	char line[TEXT_SIZE];
	unsigned count = 0;

	path_of("asked", path);
	FILE *stream = fopen(path, "r");
	if (stream == NULL)
		return 0;
	while (fgets(line, sizeof line, stream) != NULL) {
		assert_int_equal(strncmp(line, "2:-G:", 5), 0);
		count++;
	}
	(void)fclose(stream);
	return count;
}

/* The real ssh, with a configuration of ours; false where there is none. */
static bool
write_real_ssh(const char *config)
{
	char text[TEXT_SIZE];

	if (access("/usr/bin/ssh", X_OK) != 0)
		return false;
	write_file("config", config);
	(void)snprintf(text, sizeof text, "exec /usr/bin/ssh -F %s/config -G \"$2\"", folder);
	write_ssh(text);
	return true;
}

static void
assert_texts(const struct text_list *list, const char *const *texts, size_t count)
{
	assert_int_equal(list->count, count);
	for (size_t i = 0; i < count; i++)
		assert_string_equal(list->items[i].text, texts[i]);
}

static void
all_that_ssh_says_is_taken(void **state ATTR_UNUSED)
{
	static const char *const keys[] = {"/keys/one", "/home/me/.ssh/ec2-user@203.0.113.7",
					   "/home/me/.ssh/id_rsa"};
	static const char *const hosts[] = {"/home/me/.ssh/kh", "/etc/kh"};

	write_ssh("cat <<'END'\nuser ec2-user\nhostname 203.0.113.7\nport 2222\n"
		  "stricthostkeychecking accept-new\nserveraliveinterval 15\n"
		  "serveralivecountmax 5\nconnecttimeout 7\nidentityagent /run/%u.sock\n"
		  "identitiesonly yes\n"
		  "identityfile /keys/one\nidentityfile ~/.ssh/%r@%h\nidentityfile ~/.ssh/id_rsa\n"
		  "identityfile ~/.ssh/id_dsa\nidentityfile none\nhostkeyalias prod-host\n"
		  "userknownhostsfile ~/.ssh/kh\nglobalknownhostsfile /etc/kh\n"
		  "proxycommand none\nciphers aes128-ctr\nEND");
	struct loaded loaded = load(SERVICE "bastion = prod\n");
	assert_null(report_get(loaded.report, 0));
	const struct bastion *bastion = loaded.config->services[0]->bastion;
	const struct bastion_options *options = &bastion->options;
	assert_string_equal(bastion->name, "prod");
	assert_int_equal(bastion->origin, BASTION_ALIAS);
	assert_string_equal(options->user, "ec2-user");
	assert_string_equal(options->host, "203.0.113.7");
	assert_int_equal(options->port, 2222);
	assert_int_equal(options->host_key_check, HOST_KEY_CHECK_ACCEPT_NEW);
	assert_true(options->is_identities_only);
	assert_int_equal(options->alive_interval_ms, 15000);
	assert_int_equal(options->alive_count, 5);
	assert_int_equal(options->timeout_connect_s, 7);
	assert_string_equal(options->host_key_alias, "prod-host");
	assert_int_equal(strncmp(options->identity_agent, "/run/", 5), 0);
	assert_null(strchr(options->identity_agent, '%'));
	assert_null(options->proxy_command);
	assert_texts(&options->identity_file, keys, ARRAY_LENGTH(keys));
	assert_int_equal(options->identity_file.items[0].at.line, 5);
	assert_null(options->identity_file.items[2].at.file);
	assert_texts(&options->known_hosts, hosts, ARRAY_LENGTH(hosts));
	unload(&loaded);
}

static void
what_ssh_leaves_open_keeps_our_defaults(void **state ATTR_UNUSED)
{
	write_ssh("cat <<'END'\nhostname h.example.com\nstricthostkeychecking ask\n"
		  "serveraliveinterval 0\nserveralivecountmax 3\nconnecttimeout none\n"
		  "identityagent SSH_AUTH_SOCK\nEND");
	struct loaded loaded = load(SERVICE "bastion = prod\n");
	const struct bastion_options *options = &loaded.config->bastions[0]->options;
	assert_null(report_get(loaded.report, 0));
	assert_int_equal(options->port, 22);
	assert_null(options->user);
	assert_int_equal(options->alive_interval_ms, 60000);
	assert_int_equal(options->timeout_connect_s, 10);
	assert_int_equal(options->host_key_check, HOST_KEY_CHECK_YES);
	assert_false(options->is_identities_only);
	assert_null(options->identity_agent);
	assert_int_equal(options->identity_file.count, 0);
	unload(&loaded);
}

static void
words_for_checking_host_keys_are_translated(void **state ATTR_UNUSED)
{
	static const struct {
		const char *word;
		int check;
	} cases[] = {
		{"yes", HOST_KEY_CHECK_YES}, {"true", HOST_KEY_CHECK_YES},
		{"ask", HOST_KEY_CHECK_YES}, {"accept-new", HOST_KEY_CHECK_ACCEPT_NEW},
		{"no", HOST_KEY_CHECK_NO},   {"false", HOST_KEY_CHECK_NO},
		{"off", HOST_KEY_CHECK_NO},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		char commands[TEXT_SIZE];
		(void)snprintf(commands, sizeof commands,
			       "echo hostname h.example.com; echo stricthostkeychecking %s",
			       cases[i].word);
		write_ssh(commands);
		struct loaded loaded = load(SERVICE "bastion = prod\n");
		assert_int_equal(loaded.config->bastions[0]->options.host_key_check,
				 cases[i].check);
		assert_int_equal(report_has(loaded.report, REPORT_WARNING,
					    "200:5: bastion 'prod' accepts any host key"),
				 cases[i].check == HOST_KEY_CHECK_NO);
		unload(&loaded);
	}
}

static void
a_proxy_command_keeps_the_tokens_that_we_know(void **state ATTR_UNUSED)
{
	write_ssh("echo hostname i-0abc; echo proxycommand \"aws ssm --target %n %h %p 5%% $\"");
	struct loaded loaded = load(SERVICE "bastion = prod\n");
	assert_null(report_get(loaded.report, 0));
	assert_string_equal(loaded.config->bastions[0]->options.proxy_command,
			    "aws ssm --target prod %h %p 5%% $");
	unload(&loaded);

	write_ssh("echo hostname h; echo proxycommand nc %C");
	assert_fails(SERVICE "bastion = prod\n",
		     "'ssh -G prod': its ProxyCommand cannot be used here");
	/* A host's name is no way past it either. */
	assert_fails(SERVICE "bastion = prod.example.com\n",
		     "its ProxyCommand cannot be used here");
}

static void
a_host_name_without_ssh_has_the_keys_that_any_bastion_has(void **state ATTR_UNUSED)
{
	assert_int_equal(setenv("CACHETUNNEL_SSH", "/nonexistent/ssh", 1), 0);
	struct loaded loaded = load(SERVICE "bastion = prod.example.com\n");
	assert_null(report_get(loaded.report, 0));
	const struct bastion_options *options = &loaded.config->bastions[0]->options;
	assert_string_equal(options->host, "prod.example.com");
	assert_int_equal(options->identity_file.count, 3);
	assert_int_equal(options->known_hosts.count, 2);
	unload(&loaded);
}

static void
what_cannot_be_translated_is_left_out_with_a_warning(void **state ATTR_UNUSED)
{
	static const struct {
		const char *line;
		const char *warning;
	} cases[] = {
		{"identityfile ~/%C", "200:5: what ssh's configuration says of 'prod' is used "
				      "without its IdentityFile: '%C' cannot be expanded"},
		{"identityfile ${NO_SUCH_VARIABLE_X}/a", "without its IdentityFile: '${NO_SUCH"},
		{"identityfile a%", "without its IdentityFile: '%' cannot be expanded"},
		{"identityfile ~no-such-user-x/a", "IdentityFile: '~no-such-user-x' means nothing"},
		{"identityagent $NO_SUCH_VARIABLE_X", "without its IdentityAgent: '$NO_SUCH"},
		{"serveralivecountmax 1000", "without its ServerAliveCountMax: '1000' must be"},
		{"userknownhostsfile %T", "without its UserKnownHostsFile: '%T'"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		char commands[TEXT_SIZE];
		(void)snprintf(commands, sizeof commands,
			       "cat <<'END'\nhostname h.example.com\n%s\nEND", cases[i].line);
		write_ssh(commands);
		assert_loads(SERVICE "bastion = prod\n", REPORT_WARNING, cases[i].warning);
	}
}

static void
an_alias_is_asked_for_once(void **state ATTR_UNUSED)
{
	write_ssh("echo hostname h.example.com");
	struct loaded loaded = load(SERVICE "bastion = prod\n" SECOND "bastion = prod\n");
	assert_ptr_equal(loaded.config->services[0]->bastion, loaded.config->services[1]->bastion);
	assert_int_equal(count_questions(), 1);
	unload(&loaded);
}

static void
a_name_of_which_nothing_is_known_is_no_alias(void **state ATTR_UNUSED)
{
	const struct passwd *user = getpwuid(getuid());
	char commands[TEXT_SIZE];

	assert_non_null(user);
	(void)snprintf(commands, sizeof commands,
		       "cat <<'END'\nuser %s\nhostname prod\nport 22\nidentityfile ~/.ssh/id_rsa\n"
		       "proxycommand none\nEND",
		       user->pw_name);
	write_ssh(commands);
	assert_fails(SERVICE "bastion = prod\n",
		     "200:5: there is no section [bastion prod], and no ssh alias of that name: "
		     "ssh's configuration says nothing of it; add the section, or write "
		     "USER@HOST:PORT");
	write_ssh("echo hostname prod; echo identityfile /a");
	assert_loads(SERVICE "bastion = prod\n", REPORT_NOTE, NULL);
}

static void
failures_of_ssh_are_told_in_its_words(void **state ATTR_UNUSED)
{
	static const struct {
		const char *commands;
		const char *error;
	} cases[] = {
		{"echo 'config: line 3: Bad option' >&2; echo terminating >&2; exit 255",
		 "no ssh alias of that name: 'ssh -G prod': config: line 3: Bad option; add the"},
		{"exit 3", "'ssh -G prod': exit status 3"},
		{"exit 127", "'ssh -G prod': cannot run it; install OpenSSH's client"},
		{"kill -9 $$", "'ssh -G prod': killed by signal 9"},
		{"exec cat /dev/zero", "'ssh -G prod': the answer is longer than 64 KiB"},
		{"exec cat /dev/zero >&2", "'ssh -G prod': the answer is longer than 64 KiB"},
		{"", "'ssh -G prod': it has no host"},
		{"echo hostname -oX", "'ssh -G prod': it has no host"},
		{"printf '\\033[31m\\n' >&2; exit 1", "'ssh -G prod': .[31m"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		write_ssh(cases[i].commands);
		assert_fails(SERVICE "bastion = prod\n", cases[i].error);
	}
}

static void
no_shell_reads_the_name(void **state ATTR_UNUSED)
{
	char *output = NULL;
	struct err err;

	write_ssh("echo \"$2\"");
	assert_true(ssh_query("$(touch x); `y` \"z'", &output, &err));
	assert_string_equal(output, "$(touch x); `y` \"z'\n");
	free(output);
}

static void
a_jump_becomes_a_chain(void **state ATTR_UNUSED)
{
	write_ssh("case $2 in\n"
		  "prod) echo hostname 10.0.0.1; echo proxyjump u@one:2222,ssh://two:33;;\n"
		  "one) echo hostname one.example.com; echo user other; echo proxyjump none;;\n"
		  "two) echo hostname 10.0.0.2; echo proxyjump elsewhere; echo user own;;\n"
		  "esac");
	struct loaded loaded = load(SERVICE "bastion = prod\n" SECOND "bastion = prod\n");
	const struct bastion *bastion = loaded.config->services[0]->bastion;
	assert_null(report_get(loaded.report, 0));
	assert_int_equal(loaded.config->bastion_count, 3);
	assert_string_equal(bastion->options.host, "10.0.0.1");
	const struct bastion *two = bastion->via;
	assert_string_equal(two->name, "u@one:2222,ssh://two:33");
	assert_string_equal(two->options.host, "10.0.0.2");
	assert_string_equal(two->options.user, "own");
	assert_int_equal(two->options.port, 33);
	const struct bastion *one = two->via;
	assert_string_equal(one->name, "u@one:2222");
	assert_string_equal(one->options.host, "one.example.com");
	assert_string_equal(one->options.user, "u");
	assert_int_equal(one->options.port, 2222);
	assert_null(one->via);
	assert_int_equal(count_questions(), 3);
	unload(&loaded);
}

static void
the_first_hop_follows_its_own_configuration(void **state ATTR_UNUSED)
{
	write_ssh("case $2 in\n"
		  "prod) echo hostname p; echo proxyjump one;;\n"
		  "one) echo hostname o; echo proxyjump zero; echo proxycommand ignored;;\n"
		  "zero) echo hostname z; echo proxycommand nc %h %p;;\n"
		  "esac");
	struct loaded loaded = load("[bastion a]\nhost = h\nvia = prod\n" SERVICE "bastion = a\n");
	const struct bastion *prod = loaded.config->services[0]->bastion->via;
	assert_string_equal(prod->options.host, "p");
	assert_string_equal(prod->via->options.host, "o");
	assert_null(prod->via->options.proxy_command);
	assert_string_equal(prod->via->via->options.host, "z");
	assert_string_equal(prod->via->via->options.proxy_command, "nc %h %p");
	unload(&loaded);
}

static void
mistakes_in_jumps_are_errors(void **state ATTR_UNUSED)
{
	static const struct {
		const char *commands;
		const char *error;
	} cases[] = {
		{"case $2 in prod) echo hostname p; echo proxyjump one;;\n"
		 "*) echo hostname o; echo proxyjump prod;; esac",
		 "200:5: the way to bastion 'prod' leads in a circle: 'prod' via 'one' via 'prod'"},
		{"case $2 in prod) echo hostname p; echo proxyjump one;;\n*) exit 4;; esac",
		 "200:5: ssh's configuration leads over 'one', and that fails: 'ssh -G one': exit "
		 "status 4"},
		{"echo hostname p; echo proxyjump u@:22", "it is not a name that ssh could know"},
		{"echo hostname p; echo proxyjump -x", "it is not a name that ssh could know"},
		{"echo hostname p; echo proxyjump a:0", "the port after ':': '0' must be"},
		{"echo hostname h$2.example; echo proxyjump ${2}x", "over more than 16 hops"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		write_ssh(cases[i].commands);
		assert_fails(SERVICE "bastion = prod\n", cases[i].error);
	}
}

static void
the_real_ssh_is_understood(void **state ATTR_UNUSED)
{
	static const char *const keys[] = {"/keys/prod-root"};

	if (!write_real_ssh("Host prod\n HostName 203.0.113.7\n User root\n Port 2222\n"
			    " IdentityFile /keys/%n-%r\n ServerAliveInterval 30\n"
			    " StrictHostKeyChecking accept-new\n ProxyJump jump@front:2200\n"
			    " UserKnownHostsFile /kh/one /kh/two\n GlobalKnownHostsFile none\n"
			    " IdentityAgent none\n HostKeyAlias prod-key\n ConnectTimeout 4\n"
			    "Host front\n HostName front.example.com\n User nobody\n"))
		skip();
	struct loaded loaded = load(SERVICE "bastion = prod\n");
	const struct bastion *bastion = loaded.config->services[0]->bastion;
	const struct bastion_options *options = &bastion->options;
	assert_null(report_get(loaded.report, 0));
	assert_string_equal(options->host, "203.0.113.7");
	assert_string_equal(options->user, "root");
	assert_int_equal(options->port, 2222);
	assert_texts(&options->identity_file, keys, ARRAY_LENGTH(keys));
	assert_int_equal(options->alive_interval_ms, 30000);
	assert_int_equal(options->host_key_check, HOST_KEY_CHECK_ACCEPT_NEW);
	assert_string_equal(options->known_hosts.items[0].text, "/kh/one");
	assert_string_equal(options->known_hosts.items[1].text, "/kh/two");
	assert_string_equal(options->identity_agent, "none");
	assert_string_equal(options->host_key_alias, "prod-key");
	assert_int_equal(options->timeout_connect_s, 4);
	assert_null(options->proxy_command);
	assert_string_equal(bastion->via->options.host, "front.example.com");
	assert_string_equal(bastion->via->options.user, "jump");
	assert_int_equal(bastion->via->options.port, 2200);
	assert_int_equal(bastion->via->options.identity_file.count, 3);
	assert_null(bastion->via->options.identity_file.items[0].at.file);
	unload(&loaded);
}

static void
the_real_ssh_says_nothing_of_an_unknown_name(void **state ATTR_UNUSED)
{
	if (!write_real_ssh("Host prod\n Port 2222\nHost ssm\n ProxyCommand x %h\n"))
		skip();
	assert_loads(SERVICE "bastion = prod\n", REPORT_NOTE, NULL);
	assert_loads(SERVICE "bastion = ssm\n", REPORT_NOTE, NULL);
	assert_fails(SERVICE "bastion = prd\n", "ssh's configuration says nothing of it");
	assert_fails(SERVICE "bastion = a;b\n", "'ssh -G a;b': hostname contains invalid");
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(all_that_ssh_says_is_taken),
		IN_A_FOLDER(what_ssh_leaves_open_keeps_our_defaults),
		IN_A_FOLDER(words_for_checking_host_keys_are_translated),
		IN_A_FOLDER(a_proxy_command_keeps_the_tokens_that_we_know),
		IN_A_FOLDER(a_host_name_without_ssh_has_the_keys_that_any_bastion_has),
		IN_A_FOLDER(what_cannot_be_translated_is_left_out_with_a_warning),
		IN_A_FOLDER(an_alias_is_asked_for_once),
		IN_A_FOLDER(a_name_of_which_nothing_is_known_is_no_alias),
		IN_A_FOLDER(failures_of_ssh_are_told_in_its_words),
		IN_A_FOLDER(no_shell_reads_the_name),
		IN_A_FOLDER(a_jump_becomes_a_chain),
		IN_A_FOLDER(the_first_hop_follows_its_own_configuration),
		IN_A_FOLDER(mistakes_in_jumps_are_errors),
		IN_A_FOLDER(the_real_ssh_is_understood),
		IN_A_FOLDER(the_real_ssh_says_nothing_of_an_unknown_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
