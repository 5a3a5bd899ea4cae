#include "config/options.h"

#include "config/debug_setting.h"
#include "config/name_servers.h"
#include "config/socket_access.h"
#include "config/socket_options.h"
#include "config/tls_options.h"

/* Rows only: what an option means is in the code that reads its field. */

enum {
	SECONDS_MAX = 365 * 24 * 3600,
	CLIENTS_MAX = 1000000,
	SESSIONS_MAX = 1000000,
	WORKERS_MAX = 64,
	WARM_MAX = 1000,
};

#define GLOBAL(field) .offset = offsetof(struct global_options, field)
#define SERVICE(field) .offset = offsetof(struct service_options, field)
#define HONOURED .flags = OPTION_RELOADABLE
#define LISTED .flags = OPTION_RELOADABLE | OPTION_CUMULATIVE
#define NOTED .treatment = OPTION_NOTED
#define REFUSED .treatment = OPTION_REFUSED
#define SECONDS .type = &option_type_seconds, .unit = "s", .min = 0, .max = SECONDS_MAX

static const struct option_choice foreground_choices[] = {
	{"yes", FOREGROUND_YES},
	{"quiet", FOREGROUND_QUIET},
	{"no", FOREGROUND_NO},
	{NULL, 0},
};

static const struct option_choice sandbox_choices[] = {
	{"yes", SANDBOX_YES},
	{"no", SANDBOX_NO},
	{"require", SANDBOX_REQUIRE},
	{NULL, 0},
};

static const struct option_choice log_choices[] = {
	{"append", false},
	{"overwrite", true},
	{NULL, 0},
};

static const struct option_choice log_format_choices[] = {
	{"text", LOG_FORMAT_TEXT},
	{"json", LOG_FORMAT_JSON},
	{NULL, 0},
};

static const struct option_choice quiet_choices[] = {
	{"none", QUIET_NOTHING},
	{"connections", QUIET_CONNECTIONS},
	{"probes", QUIET_PROBES},
	{NULL, 0},
};

static const struct option_choice log_id_choices[] = {
	{"sequential", LOG_ID_SEQUENTIAL},
	{"unique", LOG_ID_UNIQUE},
	{"thread", LOG_ID_THREAD},
	{"process", LOG_ID_PROCESS},
	{NULL, 0},
};

static const struct option_choice failover_choices[] = {
	{"prio", FAILOVER_PRIO},
	{"rr", FAILOVER_RR},
	{"least", FAILOVER_LEAST},
	{NULL, 0},
};

static const struct option_choice role_choices[] = {
	{"primary", ROLE_PRIMARY},
	{"replica", ROLE_REPLICA},
	{"any", ROLE_ANY},
	{NULL, 0},
};

static const struct option_choice errors_choices[] = {
	{"resp", ERRORS_RESP},
	{"close", ERRORS_CLOSE},
	{NULL, 0},
};

static const struct option_row global_rows[] = {
	{"foreground", GLOBAL(foreground), .type = &option_type_choice, .fallback = "no",
	 .choices = foreground_choices,
	 .help = "stay attached to the terminal and log to stderr too; quiet: stay, but do not"},
	{"pid", GLOBAL(pid), .type = &option_type_text,
	 .help = "file that holds the process id while the daemon runs"},
	{"setuid", GLOBAL(setuid), .type = &option_type_word,
	 .help = "user to become once the ports are open"},
	{"setgid", GLOBAL(setgid), .type = &option_type_word,
	 .help = "group to become once the ports are open"},
	{"chroot", GLOBAL(chroot), .type = &option_type_path,
	 .help = "directory to lock the process into before it gives up its privileges"},
	{"sandbox", GLOBAL(sandbox), .flags = OPTION_OWN, .type = &option_type_choice,
	 .fallback = "yes", .choices = sandbox_choices,
	 .help = "give up what the daemon does not need; require: all that can be, or no start"},
	{"workers", GLOBAL(workers), .flags = OPTION_OWN, .type = &option_type_int, .fallback = "0",
	 .min = 0, .max = WORKERS_MAX,
	 .help = "threads that serve tunnels; 0: one for each processor, at most 4"},
	{"TIMEOUTdrain", GLOBAL(timeout_drain_s), .flags = OPTION_OWN | OPTION_RELOADABLE, SECONDS,
	 .fallback = "10",
	 .help = "how long requests in flight may take when the daemon is asked to stop"},
	{"maxClients", GLOBAL(max_clients), .flags = OPTION_OWN | OPTION_RELOADABLE,
	 .type = &option_type_int, .fallback = "0", .min = 0, .max = CLIENTS_MAX,
	 .help = "clients at a time, all services together; 0: as many as descriptors allow"},
	{"resolver", GLOBAL(resolver), .flags = OPTION_OWN | OPTION_RELOADABLE,
	 .type = &option_type_name_servers,
	 .help = "name servers to ask, instead of those in /etc/resolv.conf"},
	{"dnsCache", GLOBAL(dns_cache_s), .flags = OPTION_OWN | OPTION_RELOADABLE, SECONDS,
	 .fallback = "5", .help = "how long a name's addresses are used without asking again"},
	{"control", GLOBAL(control), .flags = OPTION_OWN, .type = &option_type_word,
	 .fallback = "auto",
	 .help = "Unix socket for status and commands: a path, auto (see the manual), or no"},
	{"statusListen", GLOBAL(status_listen), .flags = OPTION_OWN | OPTION_CUMULATIVE,
	 .type = &option_type_addresses,
	 .help = "loopback address for status, metrics and a page for people; read-only"},
	{"include", GLOBAL(include), .flags = OPTION_CUMULATIVE | OPTION_RELOADABLE,
	 .type = &option_type_texts,
	 .help = "directory whose files are read in place of this line, in alphabetical order"},

	{"debug", GLOBAL(debug), .flags = OPTION_RELOADABLE, .type = &option_type_debug,
	 .fallback = "notice",
	 .help = "least important level to log, by syslog name or 0-7; a facility may precede it"},
	{"output", GLOBAL(output), .flags = OPTION_RELOADABLE, .type = &option_type_path,
	 .help = "file to log to"},
	{"log", GLOBAL(log_overwrite), .flags = OPTION_RELOADABLE, .type = &option_type_choice_bool,
	 .fallback = "append", .choices = log_choices,
	 .help = "whether opening the output file keeps what is in it"},
	{"logFormat", GLOBAL(log_format), .flags = OPTION_OWN | OPTION_RELOADABLE,
	 .type = &option_type_choice, .fallback = "text", .choices = log_format_choices,
	 .help = "how a line looks: as stunnel's, or one JSON object"},
	{"logRepeat", GLOBAL(log_repeat_s), .flags = OPTION_OWN | OPTION_RELOADABLE, SECONDS,
	 .fallback = "60",
	 .help = "how long a failure that repeats is counted instead of written again; 0: never"},
	{"syslog", GLOBAL(use_syslog), .flags = OPTION_RELOADABLE, .type = &option_type_bool,
	 .fallback = "yes", .help = "log to syslog"},
	{"service", GLOBAL(syslog_ident), .flags = OPTION_RELOADABLE, .type = &option_type_word,
	 .fallback = "cachetunnel", .help = "name under which syslog shows the messages"},

	{"fips", REFUSED, .harmless = "no",
	 .help = "FIPS mode is decided by OpenSSL's own configuration; switch it on there"},
	{"compression", NOTED, .help = "TLS compression is unsafe and always off"},
	{"RNDfile", NOTED, .help = "OpenSSL gathers its own entropy"},
	{"RNDbytes", NOTED, .help = "OpenSSL gathers its own entropy"},
	{"RNDoverwrite", NOTED, .help = "OpenSSL gathers its own entropy"},
	{"EGD", NOTED, .help = "OpenSSL gathers its own entropy"},
	{"engine", REFUSED, .help = "OpenSSL 3 replaced engines; give key and cert as files"},
	{"engineCtrl", REFUSED, .help = "OpenSSL 3 replaced engines; give key and cert as files"},
	{"engineDefault", REFUSED,
	 .help = "OpenSSL 3 replaced engines; give key and cert as files"},
	{"provider", REFUSED, .help = "load providers in OpenSSL's own configuration"},
	{"providerParameter", REFUSED, .help = "set up providers in OpenSSL's own configuration"},
	{"setEnv", REFUSED, .help = "set the environment where the daemon is started"},
	{"iconActive", REFUSED, .help = "there is no window here; remove it"},
	{"iconIdle", REFUSED, .help = "there is no window here; remove it"},
	{"iconError", REFUSED, .help = "there is no window here; remove it"},
	{"taskbar", REFUSED, .help = "there is no window here; remove it"},
};

static const struct option_row service_rows[] = {
	{"client", SERVICE(client), HONOURED, .type = &option_type_bool, .fallback = "no",
	 .help = "speak TLS to the endpoint; each service needs yes, as servers have no place here"},
	{"plain", SERVICE(plain), .flags = OPTION_OWN | OPTION_RELOADABLE,
	 .type = &option_type_bool, .fallback = "no", .help = "forward without any TLS"},
	{"accept", SERVICE(accept), LISTED, .type = &option_type_addresses,
	 .help = "where clients connect in plain text; a bare port means loopback"},
	{"connect", SERVICE(connect), LISTED, .type = &option_type_addresses,
	 .help = "endpoint to connect to; a bare port means loopback"},
	{"failover", SERVICE(failover), HONOURED, .type = &option_type_choice, .fallback = "prio",
	 .choices = failover_choices,
	 .help = "which of several endpoints comes first: the first written that is up, each in "
		 "turn, or the one with the fewest tunnels"},
	{"role", SERVICE(role), .flags = OPTION_OWN | OPTION_RELOADABLE,
	 .type = &option_type_choice, .choices = role_choices,
	 .help = "what connect leads to; primary: tunnels follow a failover; otherwise guessed"},
	{"dnsWatch", SERVICE(dns_watch_s), .flags = OPTION_OWN | OPTION_RELOADABLE, SECONDS,
	 .fallback = "5",
	 .help = "how often at least to look where a primary's name leads; 0: never"},
	{"fallback", SERVICE(fallback), .flags = OPTION_OWN | OPTION_RELOADABLE,
	 .type = &option_type_word, .fallback = "none",
	 .help = "service whose endpoints new clients get while none of our own can be reached"},
	{"errors", SERVICE(errors), .flags = OPTION_OWN | OPTION_RELOADABLE,
	 .type = &option_type_choice, .fallback = "resp", .choices = errors_choices,
	 .help = "how a client hears that it gets no server: as a Redis error, or by the close only"},
	{"bastion", SERVICE(bastion), .flags = OPTION_OWN | OPTION_RELOADABLE,
	 .type = &option_type_word,
	 .help = "SSH server to hop through: a [bastion NAME], user@host:port, or an ssh alias"},
	{"local", SERVICE(local), HONOURED, .type = &option_type_word,
	 .help = "source address of outgoing connections"},
	{"maxClients", SERVICE(max_clients), .flags = OPTION_OWN | OPTION_RELOADABLE,
	 .type = &option_type_int, .fallback = "0", .min = 0, .max = CLIENTS_MAX,
	 .help = "clients of this service at a time; 0: no limit of its own"},
	{"warm", SERVICE(warm), .flags = OPTION_OWN | OPTION_RELOADABLE, .type = &option_type_int,
	 .fallback = "0", .min = 0, .max = WARM_MAX,
	 .help = "connections to keep ready for new clients, in each worker"},

	{"verifyChain", SERVICE(verify_chain), HONOURED, .type = &option_type_bool,
	 .fallback = "yes", .help = "verify the server's certificate chain and its name"},
	{"verifyPeer", SERVICE(verify_peer), HONOURED, .type = &option_type_bool, .fallback = "no",
	 .help = "accept only certificates that CAfile, CApath or CAstore holds"},
	{"verify", SERVICE(verify), HONOURED, .type = &option_type_optional_int, .min = 0, .max = 4,
	 .help = "the old form: 0 none, 1 and 2 verifyChain, 3 both, 4 verifyPeer"},
	{"checkHost", SERVICE(check_host), LISTED, .type = &option_type_texts,
	 .help = "name that the certificate must have, instead of the host of connect"},
	{"checkIP", SERVICE(check_ip), LISTED, .type = &option_type_ips,
	 .help = "IP address that the certificate may have instead"},
	{"checkEmail", SERVICE(check_email), LISTED, .type = &option_type_texts,
	 .help = "email address that the certificate may have instead"},
	{"sni", SERVICE(sni), HONOURED, .type = &option_type_text,
	 .help = "server name to send, instead of the host of connect; empty: none"},
	{"CAfile", SERVICE(ca_file), HONOURED, .type = &option_type_path,
	 .help = "file of trusted certificates, instead of the system's"},
	{"CApath", SERVICE(ca_path), HONOURED, .type = &option_type_path,
	 .help = "directory of trusted certificates by hash, instead of the system's"},
	{"CAstore", SERVICE(ca_store), HONOURED, .type = &option_type_word,
	 .help = "OpenSSL store URI of trusted certificates, instead of the system's"},
	{"CRLfile", SERVICE(crl_file), HONOURED, .type = &option_type_path,
	 .help = "file of revocation lists"},
	{"CRLpath", SERVICE(crl_path), HONOURED, .type = &option_type_path,
	 .help = "directory of revocation lists by hash"},
	{"cert", SERVICE(cert), HONOURED, .type = &option_type_path,
	 .help = "our certificate chain, for servers that ask for one"},
	{"key", SERVICE(key), HONOURED, .type = &option_type_path,
	 .help = "private key of cert; when not given, it is in the same file"},

	{"sslVersion", SERVICE(ssl_version), HONOURED, .type = &option_type_choice,
	 .choices = tls_version_choices, .help = "the only protocol version allowed"},
	{"sslVersionMin", SERVICE(ssl_version_min), HONOURED, .type = &option_type_choice,
	 .fallback = "TLSv1.2", .choices = tls_version_choices,
	 .help = "oldest protocol version allowed; all: TLSv1.2"},
	{"sslVersionMax", SERVICE(ssl_version_max), HONOURED, .type = &option_type_choice,
	 .choices = tls_version_choices, .help = "newest protocol version allowed"},
	{"ciphers", SERVICE(ciphers), HONOURED, .type = &option_type_word,
	 .fallback = "HIGH:!aNULL:!SSLv2:!DH:!kDHEPSK", .help = "ciphers up to TLSv1.2"},
	{"ciphersuites", SERVICE(ciphersuites), HONOURED, .type = &option_type_word,
	 .fallback = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256",
	 .help = "ciphers of TLSv1.3"},
	{"curves", SERVICE(curves), HONOURED, .type = &option_type_word,
	 .fallback = "X25519:P-256:X448:P-521:P-384", .help = "groups for the key exchange"},
	{"securityLevel", SERVICE(security_level), HONOURED, .type = &option_type_optional_int,
	 .min = 0, .max = 5,
	 .help = "OpenSSL's security level; otherwise the system's, at least 2"},
	{"options", SERVICE(options), LISTED, .type = &option_type_tls_options,
	 .fallback = "NO_SSLv3",
	 .help = "switch one of OpenSSL's SSL_OP_ options on, or off with -"},
	{"config", SERVICE(ssl_config), LISTED, .type = &option_type_texts,
	 .help = "command for OpenSSL's SSL_CONF_cmd: CMD or CMD:ARGUMENT"},
	{"renegotiation", SERVICE(renegotiation), HONOURED, .type = &option_type_bool,
	 .fallback = "yes", .help = "let the server renegotiate, up to TLSv1.2"},
	{"sessionResume", SERVICE(session_resume), HONOURED, .type = &option_type_bool,
	 .fallback = "yes", .help = "resume TLS sessions, which makes new connections cheaper"},
	{"sessionCacheSize", SERVICE(session_cache_size), HONOURED, .type = &option_type_int,
	 .fallback = "1000", .min = 0, .max = SESSIONS_MAX,
	 .help = "TLS sessions to keep, per worker"},
	{"sessionCacheTimeout", SERVICE(session_cache_timeout_s), HONOURED, SECONDS,
	 .fallback = "300", .help = "how long a TLS session may be resumed"},
	{"session", SERVICE(session_cache_timeout_s), HONOURED, SECONDS,
	 .help = "the old name of sessionCacheTimeout"},

	{"TIMEOUTconnect", SERVICE(timeout_connect_s), HONOURED, SECONDS, .fallback = "10",
	 .help = "how long to wait for each address of an endpoint; 0: for ever"},
	{"TIMEOUTbusy", SERVICE(timeout_busy_s), HONOURED, SECONDS, .fallback = "10",
	 .help = "how long a TLS handshake may take; 0: for ever"},
	{"TIMEOUTidle", SERVICE(timeout_idle_s), HONOURED, SECONDS, .fallback = "0",
	 .help = "how long a tunnel may be silent; 0: for ever"},
	{"TIMEOUTclose", SERVICE(timeout_close_s), HONOURED, SECONDS, .fallback = "60",
	 .help = "how long to wait for the other side once one has closed; 0: not at all"},
	{"TIMEOUTdead", SERVICE(timeout_dead_s), .flags = OPTION_OWN | OPTION_RELOADABLE, SECONDS,
	 .fallback = "15",
	 .help = "after how long a server that does not answer TCP is given up; 0: two minutes"},
	{"TIMEOUThold", SERVICE(timeout_hold_s), .flags = OPTION_OWN | OPTION_RELOADABLE, SECONDS,
	 .fallback = "5",
	 .help = "how long a client waits for an endpoint that cannot be reached; 0: not at all"},
	{"TIMEOUTmove", SERVICE(timeout_move_s), .flags = OPTION_OWN | OPTION_RELOADABLE, SECONDS,
	 .fallback = "2",
	 .help = "how long to wait for replies of a server that is the primary no longer"},
	{"reset", SERVICE(reset), HONOURED, .type = &option_type_bool, .fallback = "yes",
	 .help = "pass errors on as a TCP reset rather than as an end of file"},
	{"socket", SERVICE(socket), LISTED, .type = &option_type_socket,
	 .help = "set a socket option: a for accepting, l for the client's, r for the endpoint's"},

	{"debug", SERVICE(debug), HONOURED, .type = &option_type_debug_level,
	 .help = "least important level to log for this service"},
	{"quiet", SERVICE(quiet), .flags = OPTION_OWN | OPTION_RELOADABLE,
	 .type = &option_type_choices, .fallback = "none", .choices = quiet_choices,
	 .help = "what is not logged, separated by commas: connections that come and go as they "
		 "should, and probes, which send nothing, at debug level too"},
	{"logId", SERVICE(log_id), HONOURED, .type = &option_type_choice, .fallback = "sequential",
	 .choices = log_id_choices, .help = "what marks a connection in the log"},
	{"setuid", SERVICE(setuid), HONOURED, .type = &option_type_word,
	 .help = "owner of an accepting Unix socket"},
	{"setgid", SERVICE(setgid), HONOURED, .type = &option_type_word,
	 .help = "group of an accepting Unix socket"},
	{"socketMode", SERVICE(socket_mode), .flags = OPTION_OWN | OPTION_RELOADABLE,
	 .type = &option_type_file_mode,
	 .help = "mode of an accepting Unix socket; otherwise what the umask leaves"},
	{"allowUser", SERVICE(allow_user),
	 .flags = OPTION_OWN | OPTION_RELOADABLE | OPTION_CUMULATIVE, .type = &option_type_users,
	 .help = "user who may connect to an accepting Unix socket; otherwise whoever can"},

	{"delay", NOTED, .harmless = "yes",
	 .help = "names are resolved for every connection, as with delay = yes"},
	{"service", NOTED, .help = "only the one above the first [section] names us to syslog"},
	{"requireCert", NOTED, .harmless = "no",
	 .help = "it is for servers; verifyChain and verifyPeer decide here"},
	{"retry", NOTED, .harmless = "no", .help = "it is for exec; a client may connect again"},
	{"libwrap", REFUSED, .harmless = "no",
	 .help = "hosts.allow is not read; restrict accept to an address, or use a firewall"},
	{"sessiond", NOTED, .help = "each worker keeps its own TLS sessions"},
	{"ticketKeySecret", NOTED, .flags = OPTION_SECRET, .help = "it is for servers"},
	{"ticketMacSecret", NOTED, .flags = OPTION_SECRET, .help = "it is for servers"},
	{"stack", NOTED, .help = "a connection has no thread of its own"},
	{"engineId", REFUSED, .help = "OpenSSL 3 replaced engines; give key and cert as files"},
	{"engineNum", REFUSED, .help = "OpenSSL 3 replaced engines; give key and cert as files"},
	{"CAengine", REFUSED, .help = "OpenSSL 3 replaced engines; use CAfile, CApath or CAstore"},
	{"PSKsecrets", REFUSED, .flags = OPTION_SECRET,
	 .help = "pre-shared keys are not supported; use cert and key"},
	{"PSKidentity", REFUSED, .help = "pre-shared keys are not supported; use cert and key"},

	{"OCSP", REFUSED,
	 .help = "responders are not asked, as private networks rarely reach one; use CRLfile"},
	{"OCSPaia", REFUSED, .harmless = "no",
	 .help = "responders are not asked, as private networks rarely reach one; use CRLfile"},
	{"OCSPflag", NOTED, .help = "OCSP responders are not asked"},
	{"OCSPnonce", NOTED, .harmless = "no", .help = "OCSP responders are not asked"},
	{"OCSPrequire", NOTED, .harmless = "no", .help = "OCSP responders are not asked"},
	{"TIMEOUTocsp", NOTED, .help = "OCSP responders are not asked"},

	{"protocol", REFUSED,
	 .help = "a cache speaks TLS from the first byte, and an HTTP proxy is not supported yet; "
		 "connect to the endpoint directly"},
	{"protocolAuthentication", NOTED, .help = "there is no protocol to negotiate"},
	{"protocolDomain", NOTED, .help = "there is no protocol to negotiate"},
	{"protocolHeader", NOTED, .flags = OPTION_SECRET | OPTION_CUMULATIVE,
	 .help = "there is no protocol to negotiate"},
	{"protocolHost", NOTED, .help = "there is no protocol to negotiate"},
	{"protocolPassword", NOTED, .flags = OPTION_SECRET,
	 .help = "there is no protocol to negotiate"},
	{"protocolUsername", NOTED, .help = "there is no protocol to negotiate"},

	{"transparent", REFUSED, .harmless = "none|no",
	 .help = "the endpoint must be written; use connect"},
	{"exec", REFUSED, .help = "programs are not run; use connect"},
	{"execArgs", REFUSED, .help = "programs are not run; use connect"},
	{"pty", REFUSED, .harmless = "no", .help = "programs are not run; use connect"},
	{"ident", REFUSED, .help = "clients are not asked who they are; remove it"},
	{"redirect", REFUSED, .help = "it is for servers; use several connect lines for failover"},
};

const struct option_table global_options_table = {
	.rows = global_rows,
	.count = ARRAY_LENGTH(global_rows),
};

const struct option_table service_options_table = {
	.rows = service_rows,
	.count = ARRAY_LENGTH(service_rows),
};
