#include "config/bastion.h"

#include "config/bastion_types.h"
#include "config/debug_setting.h"
#include "config/user_path.h"

/* Rows only: what an option means is in the code that reads its field. Where identityFile and
 * knownHosts are not written, config/bastions.h fills in what ssh would use. */

enum {
	SECONDS_MAX = 24 * 3600,
	PORT_MAX = 65535,
	SESSIONS_MAX = 16,
	ALIVE_COUNT_MAX = 100,
	WINDOW_MIN = 64 * 1024,
	WINDOW_MAX = 16 * 1024 * 1024,
};

#define AT(field) .offset = offsetof(struct bastion_options, field)
#define OWN .flags = OPTION_OWN | OPTION_RELOADABLE
#define LISTED .flags = OPTION_OWN | OPTION_RELOADABLE | OPTION_CUMULATIVE
#define SECONDS .type = &option_type_seconds, .unit = "s", .min = 1, .max = SECONDS_MAX

static const struct option_choice host_key_check_choices[] = {
	{"yes", HOST_KEY_CHECK_YES},
	{"accept-new", HOST_KEY_CHECK_ACCEPT_NEW},
	{"no", HOST_KEY_CHECK_NO},
	{NULL, 0},
};

static const struct option_row rows[] = {
	{"host", AT(host), OWN, .type = &option_type_host,
	 .help = "name or address of the SSH server"},
	{"port", AT(port), OWN, .type = &option_type_int, .fallback = "22", .min = 1,
	 .max = PORT_MAX, .help = "port of the SSH server"},
	{"user", AT(user), OWN, .type = &option_type_word,
	 .help = "user to log in as; otherwise the one who runs the daemon"},
	{"via", AT(via), OWN, .type = &option_type_word,
	 .help = "another bastion to hop through first, written as a service's bastion is"},
	{"proxyCommand", AT(proxy_command), OWN, .type = &option_type_proxy_command,
	 .help = "shell command whose input and output lead to the server; %h %p %r %%"},
	{"eager", AT(is_eager), OWN, .type = &option_type_bool, .fallback = "no",
	 .help = "log in at start rather than when the first client comes"},
	{"sessions", AT(sessions), OWN, .type = &option_type_int, .fallback = "4", .min = 1,
	 .max = SESSIONS_MAX, .help = "logins at a time, at most; more than one only under load"},

	{"identityFile", AT(identity_file), LISTED, .type = &option_type_user_paths,
	 .help = "private key to log in with; otherwise ~/.ssh/id_ed25519, id_ecdsa and id_rsa"},
	{"passphraseFile", AT(passphrase_file), OWN, .type = &option_type_user_path,
	 .help = "file with the passphrase of encrypted keys"},
	{"passwordFile", AT(password_file), OWN, .type = &option_type_user_path,
	 .help = "file with the password, for servers that take one"},
	{"identityAgent", AT(identity_agent), OWN, .type = &option_type_ssh_agent,
	 .help = "socket of the ssh agent, or none; otherwise that of SSH_AUTH_SOCK"},
	{"identitiesOnly", AT(is_identities_only), OWN, .type = &option_type_bool, .fallback = "no",
	 .help = "of the agent's keys, use those of identityFile only"},

	{"knownHosts", AT(known_hosts), LISTED, .type = &option_type_user_paths,
	 .help = "file of known host keys; otherwise ~/.ssh/known_hosts and the system's"},
	{"hostKey", AT(host_key), LISTED, .type = &option_type_fingerprints,
	 .help = "fingerprint that the server's host key must have"},
	{"hostKeyCheck", AT(host_key_check), OWN, .type = &option_type_choice, .fallback = "yes",
	 .choices = host_key_check_choices,
	 .help = "whether a host key must be known; accept-new: unknown ones are added"},
	{"hostKeyAlias", AT(host_key_alias), OWN, .type = &option_type_word,
	 .help = "name to look up among known hosts, instead of host and port"},

	{"TIMEOUTconnect", AT(timeout_connect_s), OWN, SECONDS, .fallback = "10",
	 .help = "how long to wait for each address of the server"},
	{"TIMEOUTbanner", AT(timeout_banner_s), OWN, SECONDS, .fallback = "10",
	 .help = "how long to wait for the server's SSH version"},
	{"TIMEOUTkex", AT(timeout_key_exchange_s), OWN, SECONDS, .fallback = "10",
	 .help = "how long the key exchange may take"},
	{"TIMEOUTlogin", AT(timeout_login_s), OWN, SECONDS, .fallback = "30",
	 .help = "how long the login may take"},
	{"TIMEOUTopen", AT(timeout_open_s), OWN, SECONDS, .fallback = "10",
	 .help = "how long the bastion may take to reach an endpoint"},
	{"TIMEOUTsurplus", AT(timeout_surplus_s), OWN, SECONDS, .fallback = "60",
	 .help = "how long a session may be without a tunnel, unless it is the last"},
	{"TIMEOUTdead", AT(timeout_dead_s), OWN, .type = &option_type_seconds, .unit = "s",
	 .fallback = "15", .min = 0, .max = SECONDS_MAX,
	 .help = "after how long a bastion that does not answer TCP is given up; 0: two minutes"},
	{"aliveInterval", AT(alive_interval_ms), OWN, .type = &option_type_interval, .unit = "s",
	 .fallback = "60", .min = 0, .max = SECONDS_MAX,
	 .help = "how often the server is asked for a sign of life; 0: never"},
	{"aliveCount", AT(alive_count), OWN, .type = &option_type_int, .fallback = "3", .min = 1,
	 .max = ALIVE_COUNT_MAX,
	 .help = "how many signs may be missing until the session is given up"},
	{"window", AT(window_bytes), OWN, .type = &option_type_int, .unit = "bytes",
	 .fallback = "1048576", .min = WINDOW_MIN, .max = WINDOW_MAX,
	 .help = "bytes that may be under way to one client; bounds its memory"},

	{"debug", AT(debug), OWN, .type = &option_type_debug_level,
	 .help = "least important level to log for this bastion"},
};

const struct option_table bastion_options_table = {
	.rows = rows,
	.count = ARRAY_LENGTH(rows),
};
