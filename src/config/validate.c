#include "config/validate.h"

#include "base/identity.h"
#include "base/memory.h"
#include "base/text.h"
#include "config/role.h"
#include "config/tls_options.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Without TLS these say nothing. */
static const char *const tls_only[] = {
	"verifyChain",
	"verifyPeer",
	"verify",
	"checkHost",
	"checkIP",
	"checkEmail",
	"sni",
	"CAfile",
	"CApath",
	"CAstore",
	"CRLfile",
	"CRLpath",
	"cert",
	"key",
	"sslVersion",
	"sslVersionMin",
	"sslVersionMax",
	"ciphers",
	"ciphersuites",
	"curves",
	"securityLevel",
	"options",
	"config",
	"renegotiation",
	"sessionResume",
	"session",
	"sessionCacheSize",
	"sessionCacheTimeout",
};

static void
check_owner(const char *user, struct location user_at, const char *group, struct location group_at,
	    struct report *report)
{
	uid_t ignored_user;
	gid_t ignored_group;

	if (user != NULL && !identity_find_user(user, &ignored_user))
		report_add(report, REPORT_ERROR, user_at,
			   "there is no user '%.80s' on this system; create it, or change 'setuid'",
			   user);
	if (group != NULL && !identity_find_group(group, &ignored_group))
		report_add(report, REPORT_ERROR, group_at,
			   "there is no group '%.80s' on this system; create it, or change "
			   "'setgid'",
			   group);
}

/* A daemon leaves the directory it was started in. */
static void
check_absolute(const struct config *config, const char *option, const char *path,
	       struct report *report)
{
	if (path != NULL && *path != '/' && config->global.foreground == FOREGROUND_NO)
		report_add(report, REPORT_ERROR, config_option_at(config, option),
			   "'%s' needs a path that begins with '/', because the daemon leaves the "
			   "current directory; '%.80s' does not",
			   option, path);
}

static bool
is_word(const char *text, const char *word)
{
	return text_equal_nocase(text, word);
}

/* Whether the host can be reached from this machine only: a name would have to be looked up. */
static bool
is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (text_equal_nocase(host, "localhost"))
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static void
check_control(const struct config *config, struct report *report)
{
	const struct global_options *global = &config->global;
	const struct address_list *listen = &global->status_listen;

	if (!is_word(global->control, "auto") && !is_word(global->control, "no") &&
	    *global->control != '/')
		report_add(report, REPORT_ERROR, config_option_at(config, "control"),
			   "'control' must be a path that begins with '/', auto or no; '%.80s' is "
			   "none of them",
			   global->control);
	for (size_t i = 0; i < listen->count; i++) {
		const struct address *address = &listen->items[i];
		if (address_is_unix(address) || !is_loopback(address_host(address)))
			report_add(report, REPORT_ERROR, address->at,
				   "'statusListen' must be an address of this machine alone, such "
				   "as 127.0.0.1:9900; for a Unix socket there is 'control'");
	}
}

void
validate_global(struct config *config, struct report *report)
{
	struct global_options *global = &config->global;
	struct stat status;

	if (global->pid != NULL && *global->pid == '\0') {
		free(global->pid);
		global->pid = NULL;
	}
	check_absolute(config, "output", global->output, report);
	check_absolute(config, "pid", global->pid, report);
	check_control(config, report);
	check_owner(global->setuid, config_option_at(config, "setuid"), global->setgid,
		    config_option_at(config, "setgid"), report);
	if (global->chroot != NULL &&
	    (stat(global->chroot, &status) != 0 || !S_ISDIR(status.st_mode)))
		report_add(report, REPORT_ERROR, config_option_at(config, "chroot"),
			   "'chroot' needs a directory that exists; '%.80s' is none",
			   global->chroot);
}

/* Brings the three ways to ask for verification down to verifyChain and verifyPeer. What is
 * written with these two stands over what `verify` says. */
static void
settle_verification(struct service *service)
{
	struct service_options *options = &service->options;
	bool is_chain_written = service_option_is_set(service, "verifyChain");

	if (options->verify >= 0) {
		if (!is_chain_written)
			options->verify_chain = options->verify >= 1 && options->verify <= 3;
		if (!service_option_is_set(service, "verifyPeer"))
			options->verify_peer = options->verify >= 3;
	} else if (options->verify_peer && !is_chain_written) {
		options->verify_chain = false;
	}
}

static const char *
first_check(const struct service_options *options)
{
	if (options->check_host.count > 0)
		return "checkHost";
	if (options->check_ip.count > 0)
		return "checkIP";
	return options->check_email.count > 0 ? "checkEmail" : NULL;
}

static void
check_unverified(const struct service *service, struct report *report)
{
	const char *check = first_check(&service->options);
	bool is_chain_written = service_option_is_set(service, "verifyChain");
	const char *cause = is_chain_written ? "verifyChain = no" : "verify = 0";

	if (check != NULL)
		report_add(report, REPORT_ERROR, service_option_at(service, check),
			   "'%s' needs verification, and service '%.80s' has switched it off; "
			   "remove '%s'",
			   check, service->name, cause);
	else
		report_add(report, REPORT_WARNING,
			   service_option_at(service, is_chain_written ? "verifyChain" : "verify"),
			   "service '%.80s' accepts any server: nothing tells the cache from an "
			   "impostor; remove '%s'",
			   service->name, cause);
}

static void
check_verification(const struct service *service, struct report *report)
{
	const struct service_options *options = &service->options;

	if (!options->verify_chain && !options->verify_peer) {
		check_unverified(service, report);
		return;
	}
	if (options->verify_peer && options->ca_file == NULL && options->ca_path == NULL &&
	    options->ca_store == NULL)
		report_add(report, REPORT_ERROR,
			   service_option_at(service, service_option_is_set(service, "verifyPeer")
							      ? "verifyPeer"
							      : "verify"),
			   "service '%.80s' accepts listed certificates only, but lists none; put "
			   "the server's certificate into a file and name it with 'CAfile'",
			   service->name);
	for (size_t i = 0; options->verify_chain && i < options->connect.count; i++) {
		const struct address *address = &options->connect.items[i];
		if (address_is_unix(address) && first_check(options) == NULL)
			report_add(report, REPORT_ERROR, address->at,
				   "'connect' to a Unix socket gives no name to verify; write "
				   "'checkHost = NAME' with the name in the server's certificate");
	}
}

/* Brings sslVersion down to sslVersionMin and sslVersionMax, then compares them. */
static void
settle_versions(struct service *service, struct report *report)
{
	struct service_options *options = &service->options;
	bool is_min_written = service_option_is_set(service, "sslVersionMin");
	const char *source = "sslVersionMin";

	if (options->ssl_version > 0) {
		if (!is_min_written)
			options->ssl_version_min = options->ssl_version;
		if (!service_option_is_set(service, "sslVersionMax"))
			options->ssl_version_max = options->ssl_version;
		source = is_min_written ? source : "sslVersion";
	}
	int min = options->ssl_version_min > 0 ? options->ssl_version_min : TLS1_2_VERSION;
	int max = options->ssl_version_max;
	if (max > 0 && min > max)
		report_add(report, REPORT_ERROR, service_option_at(service, "sslVersionMax"),
			   "sslVersionMax %s is below sslVersionMin %s%s; no version is left",
			   tls_version_name(max), tls_version_name(min),
			   is_min_written ? "" : " (the default)");
	else if (min < TLS1_2_VERSION)
		report_add(report, REPORT_WARNING, service_option_at(service, source),
			   "service '%.80s' allows %s, which is broken; TLSv1.2 is the oldest "
			   "version that is safe",
			   service->name, tls_version_name(min));
}

static void
check_tls(struct service *service, struct report *report)
{
	const struct service_options *options = &service->options;
	struct in6_addr ignored;

	if (!options->client)
		report_add(report, REPORT_ERROR, service_option_at(service, "client"),
			   "service '%.80s' needs 'client = yes': cachetunnel speaks TLS to "
			   "'connect' only, and is no TLS server",
			   service->name);
	check_verification(service, report);
	settle_versions(service, report);
	if (options->key != NULL && options->cert == NULL)
		report_add(report, REPORT_ERROR, service_option_at(service, "key"),
			   "'key' needs 'cert', the certificate that belongs to it");
	if (options->sni != NULL && strchr(options->sni, ':') != NULL &&
	    inet_pton(AF_INET6, options->sni, &ignored) != 1)
		report_add(report, REPORT_ERROR, service_option_at(service, "sni"),
			   "'sni' must be a host name; SERVICE:PATTERN is for TLS servers");
}

/* Whether the option was written for this service, rather than inherited from above. */
static bool
is_its_own(const struct service *service, const struct location *defaults_at, size_t index)
{
	const struct location *at = &service->set_at[index];

	return at->file != NULL &&
	       (at->file != defaults_at[index].file || at->line != defaults_at[index].line);
}

static void
check_plain(const struct service *service, const struct location *defaults_at,
	    struct report *report)
{
	report_add(report, REPORT_NOTE, service_option_at(service, "plain"),
		   "service '%.80s' forwards without TLS", service->name);
	for (size_t i = 0; i < ARRAY_LENGTH(tls_only); i++) {
		const struct option_row *row = option_find(&service_options_table, tls_only[i]);
		size_t index = (size_t)(row - service_options_table.rows);
		if (is_its_own(service, defaults_at, index))
			report_add(report, REPORT_WARNING, service->set_at[index],
				   "'%s' is about TLS, and service '%.80s' has 'plain = yes'; "
				   "remove one of the two",
				   row->name, service->name);
	}
}

/* A port's name must be known here (services(5)); better to hear of it now than per client. */
static void
check_port_names(const struct address_list *list, const char *option, struct report *report)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct address *address = &list->items[i];
		long ignored;
		if (!address_is_unix(address) &&
		    !text_to_long(address->port, 1, UINT16_MAX, &ignored) &&
		    getservbyname(address->port, "tcp") == NULL)
			report_add(report, REPORT_ERROR, address->at,
				   "'%s' names the port '%.80s', which this system does not know; "
				   "write its number",
				   option, address->port);
	}
}

static void
check_addresses(const struct service *service, struct report *report)
{
	const struct service_options *options = &service->options;

	check_port_names(&options->accept, "accept", report);
	check_port_names(&options->connect, "connect", report);
	/* A line with a bad address is an error of its own and counts as written. */
	if (options->accept.count == 0 && !service_option_is_set(service, "accept"))
		report_add(report, REPORT_ERROR, service->at,
			   "service '%.80s' has no 'accept'; write where clients connect, such as "
			   "'accept = 127.0.0.1:6379'",
			   service->name);
	if (options->connect.count == 0 && !service_option_is_set(service, "connect"))
		report_add(report, REPORT_ERROR, service->at,
			   "service '%.80s' has no 'connect'; write the cache's endpoint, "
			   "'connect = HOST:PORT'",
			   service->name);
}

/* The bastion opens the connection to the endpoint, from wherever it is. */
static void
check_local(const struct service *service, const struct location *defaults_at,
	    struct report *report)
{
	const struct option_row *row = option_find(&service_options_table, "local");

	if (service->options.bastion != NULL &&
	    is_its_own(service, defaults_at, (size_t)(row - service_options_table.rows)))
		report_add(report, REPORT_WARNING, service_option_at(service, "local"),
			   "'local' has no effect, because service '%.80s' goes through a bastion; "
			   "remove it",
			   service->name);
}

/* A connection by TCP does not tell whose it is: nobody should believe that somebody checks. */
static void
check_access(const struct service *service, struct report *report)
{
	const struct service_options *options = &service->options;
	size_t unix_count = 0;

	for (size_t i = 0; i < options->accept.count; i++)
		unix_count += address_is_unix(&options->accept.items[i]);
	if (options->allow_user.count > 0 && unix_count < options->accept.count)
		report_add(report, REPORT_ERROR, service_option_at(service, "allowUser"),
			   "'allowUser' needs Unix sockets, and service '%.80s' accepts by TCP, "
			   "which does not tell the user; write 'accept = /PATH', or remove it",
			   service->name);
	if (service_option_is_set(service, "socketMode") && unix_count == 0)
		report_add(report, REPORT_WARNING, service_option_at(service, "socketMode"),
			   "'socketMode' has no effect, because service '%.80s' accepts on no Unix "
			   "socket; remove it",
			   service->name);
}

void
validate_service(struct service *service, const struct location *defaults_at, struct report *report)
{
	const struct service_options *options = &service->options;

	if (*service->name == '\0')
		report_add(report, REPORT_ERROR, service->at,
			   "the section has no name; write one between '[' and ']'");
	check_addresses(service, report);
	if (options->role == ROLE_GUESS)
		service->options.role = (int)role_guess(&options->connect);
	check_local(service, defaults_at, report);
	check_access(service, report);
	check_owner(options->setuid, service_option_at(service, "setuid"), options->setgid,
		    service_option_at(service, "setgid"), report);
	settle_verification(service);
	if (options->plain)
		check_plain(service, defaults_at, report);
	else
		check_tls(service, report);
}
