#include "control/doctor_advice.h"

#include "base/text.h"
#include "config/config.h"
#include "control/network.h"
#include "stream/tls_certificate.h"
#include "tunnel/resolved.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/*
 * The table below is the whole of it: the first rule that fits speaks. In its text stand
 *   {endpoint} {port}   of the service           {host} {hop-port}   of the bastion
 *   {name}              one that the certificate has
 *   {now}               this machine's time      {far}   a sentence, where the address is private
 */

struct rule {
	enum doctor_layer layer;
	unsigned kinds;                                  /* a set of 1 << enum err_kind */
	bool (*applies)(const struct doctor_case *what); /* NULL: always */
	const char *text;
};

#define KIND(kind) (1U << (kind))

static const unsigned any_kind = ~0U;

static bool
is_elasticache(const struct doctor_case *what)
{
	static const char domain[] = ".cache.amazonaws.com";
	size_t domain_length = strlen(domain);
	size_t length = what->endpoint->host != NULL ? strlen(what->endpoint->host) : 0;

	return length > domain_length &&
	       text_equal_nocase(what->endpoint->host + length - domain_length, domain);
}

static bool
has_proxy_command(const struct doctor_case *what)
{
	return what->bastion != NULL && what->bastion->options.proxy_command != NULL;
}

static bool
is_plain(const struct doctor_case *what)
{
	return what->service->options.plain;
}

static const struct rule rules[] = {
	{DOCTOR_NAME, KIND(ERR_NAME_SERVER), NULL,
	 "This machine's name servers do not answer: is the network up, is a VPN half up, is "
	 "/etc/resolv.conf right?"},
	{DOCTOR_NAME, KIND(ERR_NAME_UNKNOWN), is_elasticache,
	 "An ElastiCache name that nobody knows is misspelt, or its cache was deleted or renamed: "
	 "switching encryption in transit on gives a cache new names (master.* instead of "
	 "*.ng.0001.*). Compare it with the console's endpoint. Some networks' name servers hide "
	 "names with private addresses: then go through a bastion, which looks the name up on its "
	 "side."},
	{DOCTOR_NAME, KIND(ERR_NAME_UNKNOWN), NULL,
	 "Is it spelled right? A private name (of a private hosted zone, say) is known inside of its "
	 "network only: switch the VPN on, or go through a bastion, which looks the name up on its "
	 "side."},

	{DOCTOR_BASTION, KIND(ERR_NAME_SERVER), NULL,
	 "This machine's name servers do not answer: is the network up, is /etc/resolv.conf right?"},
	{DOCTOR_BASTION, KIND(ERR_NAME_UNKNOWN), NULL,
	 "Is the bastion's host spelled right? ssh's own nicknames are no names: write "
	 "bastion = NICKNAME in the service for what ~/.ssh/config has."},
	{DOCTOR_BASTION, any_kind, has_proxy_command,
	 "Run the proxyCommand by hand: what it prints must begin with SSH-. What it needs "
	 "(credentials, PATH) the daemon's environment must have too."},
	{DOCTOR_BASTION, KIND(ERR_TIMEOUT), NULL,
	 "Silence means dropped packets: the bastion's security group does not let this machine in "
	 "on port {hop-port}, the bastion is stopped, or its public address has changed."},
	{DOCTOR_BASTION, KIND(ERR_REFUSED), NULL,
	 "The machine answers, and no SSH server listens on port {hop-port}: is the port right, does "
	 "its sshd run?"},
	{DOCTOR_BASTION, KIND(ERR_UNREACHABLE), NULL,
	 "There is no way to it from here: is the network, or the VPN, up?"},

	{DOCTOR_HOST_KEY, KIND(ERR_SSH_PROTOCOL) | KIND(ERR_TIMEOUT), NULL,
	 "Is that host and port an SSH server? ssh -v -p {hop-port} {host} shows the same greeting."},
	{DOCTOR_HOST_KEY, KIND(ERR_DISCONNECTED), NULL,
	 "It takes connections and ends them at once: sshd is at its MaxStartups, shuts this "
	 "address out for a while after failures (PerSourcePenalties, fail2ban), or a load balancer "
	 "has nobody behind it."},

	{DOCTOR_LOGIN, KIND(ERR_TIMEOUT), NULL,
	 "The bastion is slow to decide: PAM, a directory service, or reverse lookups (UseDNS)."},
	{DOCTOR_LOGIN, any_kind, NULL,
	 "The usual users are ec2-user (Amazon Linux) and ubuntu (Ubuntu). If ssh -v -p {hop-port} "
	 "{host} gets in, it uses a user or a key that the bastion's section does not name."},

	{DOCTOR_CHANNEL, KIND(ERR_FORBIDDEN), NULL,
	 "On the bastion, sshd_config needs AllowTcpForwarding yes or local, and PermitOpen any or "
	 "with {endpoint}; and the key's line in authorized_keys no restrict or permitopen that "
	 "forbids it."},
	{DOCTOR_CHANNEL, KIND(ERR_UNREACHABLE), NULL,
	 "The bastion tried and failed. There, getent hosts tells whether the name is known, and nc "
	 "-vz whether {endpoint} lets the bastion in."},
	{DOCTOR_CHANNEL, KIND(ERR_TIMEOUT), NULL,
	 "Between bastion and cache packets are dropped: the cache's security group must let the "
	 "bastion's in on port {port}."},

	{DOCTOR_CONNECT, KIND(ERR_TIMEOUT), NULL,
	 "Silence means dropped packets. Most often that is the cache's security group: it must let "
	 "this machine in on port {port}.{far}"},
	{DOCTOR_CONNECT, KIND(ERR_REFUSED), NULL,
	 "The machine answers, and nothing listens on port {port}. ElastiCache has 6379 unless "
	 "another port was chosen when it was made; serverless has 6379 and 6380."},
	{DOCTOR_CONNECT, KIND(ERR_UNREACHABLE), NULL,
	 "There is no way to it from here: is the network, or the VPN, up?{far}"},

	{DOCTOR_TLS, KIND(ERR_TIMEOUT), NULL,
	 "Who takes a TLS greeting and says nothing is usually a Redis without TLS, waiting for the "
	 "rest of a command: if the cache has no encryption in transit, write plain = yes. Else a "
	 "load balancer may have no healthy target."},
	{DOCTOR_TLS, KIND(ERR_TLS_NONE), NULL,
	 "It answers, and not in TLS: the cache has no encryption in transit (write plain = yes), or "
	 "the port is another service's."},
	{DOCTOR_TLS, KIND(ERR_DISCONNECTED), NULL,
	 "It hangs up at the first word of TLS: a Redis without TLS (write plain = yes), a load "
	 "balancer without a healthy target, or a server that wants to be called by another name "
	 "(sni)."},
	{DOCTOR_TLS, KIND(ERR_CERTIFICATE_NAME), NULL,
	 "Usual where an NLB, a PrivateLink endpoint, an address or a name of your own stands in "
	 "front of the cache. If so, say whose certificate is right: checkHost = {name}. If not, this "
	 "is another server than the one meant: look at connect."},
	{DOCTOR_TLS, KIND(ERR_CERTIFICATE_EXPIRED), NULL,
	 "This machine believes that it is {now}. If so, whoever runs the endpoint must renew its "
	 "certificate; ElastiCache's are renewed by AWS."},
	{DOCTOR_TLS, KIND(ERR_CERTIFICATE_UNTRUSTED), is_elasticache,
	 "ElastiCache's certificates come from Amazon's public CAs, which every current list holds: "
	 "is ca-certificates installed and current, and CAfile, where it is set, right? Else somebody "
	 "is in between."},
	{DOCTOR_TLS, KIND(ERR_CERTIFICATE_UNTRUSTED), NULL,
	 "If that server is meant, name the CA that issued its certificate with CAfile; openssl "
	 "s_client -showcerts -connect shows the chain."},
	{DOCTOR_TLS, KIND(ERR_CERTIFICATE_OURS_NEEDED), NULL,
	 "The server wants to know who we are: name a client certificate with cert and key. "
	 "ElastiCache never asks for one."},
	{DOCTOR_TLS, KIND(ERR_TLS_VERSION), NULL,
	 "TLS 1.2 is the least that is spoken here, unless sslVersionMin allows less."},

	{DOCTOR_REDIS, any_kind, is_plain,
	 "If the endpoint wants TLS, as caches with encryption in transit do, take plain = yes out."},
	{DOCTOR_REDIS, KIND(ERR_TIMEOUT) | KIND(ERR_DISCONNECTED), NULL,
	 "TLS is there, and nobody serves behind it: a load balancer without a healthy target, or a "
	 "server that is starting, or full."},
	{DOCTOR_REDIS, any_kind, NULL, "Is {endpoint} a Redis or Valkey at all?"},
};

/* Whether all addresses are private ones, of no network that this machine is in. */
static bool
is_far_and_private(const struct resolved *addresses)
{
	for (size_t i = 0; addresses != NULL && i < addresses->count; i++) {
		const struct sockaddr_storage *address = &addresses->items[i].storage;
		if (!network_is_private(address) || network_is_own(address))
			return false;
	}
	return addresses != NULL && addresses->count > 0;
}

/* For a wildcard any name that it matches will do. */
static void
write_name(const struct tls_certificate *certificate, char *out, size_t size)
{
	const char *name = certificate != NULL ? certificate->first_name : "";

	if (name[0] == '\0')
		(void)snprintf(out, size, "NAME");
	else if (name[0] == '*')
		(void)snprintf(out, size, "master%s", name + 1);
	else
		(void)snprintf(out, size, "%s", name);
}

static void
write_now(char *out, size_t size)
{
	time_t now = time(NULL);
	struct tm parts;

	if (gmtime_r(&now, &parts) == NULL ||
	    strftime(out, size, "%Y-%m-%d %H:%M UTC", &parts) == 0)
		out[0] = '\0';
}

/* What stands for a word in braces. */
static void
write_word(const struct doctor_case *what, const char *word, size_t length, char *out, size_t size)
{
	const struct bastion *bastion = what->bastion;

	out[0] = '\0';
	if (strncmp(word, "endpoint", length) == 0)
		(void)address_format(what->endpoint, out, size);
	else if (strncmp(word, "port", length) == 0 && what->endpoint->port != NULL)
		(void)snprintf(out, size, "%s", what->endpoint->port);
	else if (strncmp(word, "hop-port", length) == 0 && bastion != NULL)
		(void)snprintf(out, size, "%d", bastion->options.port);
	else if (strncmp(word, "host", length) == 0 && bastion != NULL)
		(void)snprintf(out, size, "%s", bastion->options.host);
	else if (strncmp(word, "name", length) == 0)
		write_name(what->certificate, out, size);
	else if (strncmp(word, "now", length) == 0)
		write_now(out, size);
	else if (strncmp(word, "far", length) == 0 && is_far_and_private(what->addresses))
		(void)snprintf(
			out, size,
			" The address is private, and in no network of this machine: without "
			"a VPN only a bastion leads there.");
}

static void
expand(const struct doctor_case *what, const char *text, char *out, size_t size)
{
	char word[DOCTOR_TEXT_SIZE / 4];
	size_t length = 0;

	while (*text != '\0' && length + 1 < size) {
		if (*text != '{') {
			out[length++] = *text++;
			continue;
		}
		size_t word_length = strcspn(++text, "}");
		write_word(what, text, word_length, word, sizeof word);
		int written = snprintf(out + length, size - length, "%s", word);
		length += written > 0 ? (size_t)written : 0;
		text += word_length + 1;
	}
	out[length < size ? length : size - 1] = '\0';
}

const char *
doctor_advise(const struct doctor_case *what, char *out, size_t size)
{
	for (size_t i = 0; i < ARRAY_LENGTH(rules); i++) {
		const struct rule *rule = &rules[i];
		if (rule->layer != what->layer || (rule->kinds & KIND(what->kind)) == 0 ||
		    (rule->applies != NULL && !rule->applies(what)))
			continue;
		expand(what, rule->text, out, size);
		return out;
	}
	return NULL;
}
