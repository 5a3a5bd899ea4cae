#include "control/doctor_steps.h"

#include "base/err.h"
#include "config/config.h"
#include "control/network.h"
#include "control/redis_probe.h"
#include "stream/tls_certificate.h"
#include "stream/tls_stream.h"
#include "tunnel/resolved.h"
#include "tunnel/socket_setup.h"
#include "tunnel/step.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	SHOWN_ADDRESSES = 4,
	SECONDS_A_DAY = 24 * 3600,
	/* Whoever renews certificates automatically does so earlier than that. */
	FEW_DAYS = 14,
};

enum doctor_layer
doctor_step_layer(const struct step *step)
{
	switch (step->kind) {
	case STEP_NAME:
		return step->bastion != NULL ? DOCTOR_BASTION : DOCTOR_NAME;
	case STEP_CONNECT:
		return step->bastion != NULL ? DOCTOR_BASTION : DOCTOR_CONNECT;
	case STEP_HOST_KEY:
		/* A proxyCommand that fails shows only when nothing comes out of it. */
		return step->err != NULL && step->err->kind == ERR_DISCONNECTED &&
				       step->bastion->options.proxy_command != NULL
			       ? DOCTOR_BASTION
			       : DOCTOR_HOST_KEY;
	case STEP_LOGIN:
		return DOCTOR_LOGIN;
	case STEP_CHANNEL:
		/* It also fails because its session did not come about. */
		return DOCTOR_CHANNEL;
	case STEP_TLS:
		return DOCTOR_TLS;
	}
	return DOCTOR_CONNECT;
}

const char *
doctor_step_title(const struct step *step)
{
	switch (step->kind) {
	case STEP_NAME:
		return step->bastion != NULL ? "bastion name" : "name";
	case STEP_CONNECT:
		return step->bastion != NULL ? "bastion TCP" : "TCP";
	case STEP_HOST_KEY:
		return "host key";
	case STEP_LOGIN:
		return "login";
	case STEP_CHANNEL:
		return "channel";
	case STEP_TLS:
		return "TLS";
	}
	return "";
}

/* Appends to a text that may be full already. */
static void ATTR_PRINTF(3, 4) append(char *text, size_t size, const char *format, ...)
{
	size_t length = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text + length, size - length, format, arguments);
	va_end(arguments);
}

/* The address without its port, and what is to know about it. */
static void
append_address(char *text, size_t size, const struct sockaddr_storage *address, socklen_t length)
{
	char name[SOCKET_NAME_SIZE] = "?";

	(void)getnameinfo((const struct sockaddr *)address, length, name, sizeof name, NULL, 0,
			  NI_NUMERICHOST);
	append(text, size, "%s", name);
	if (!network_has_route(address, length))
		append(text, size, " (no route to it from here)");
	else if (network_is_private(address) && !network_is_own(address))
		append(text, size, " (private, and in no network of this machine)");
	else if (network_is_private(address))
		append(text, size, " (private)");
}

static bool
is_literal(const char *host)
{
	struct in6_addr address;

	return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

static enum doctor_verdict
describe_name(const struct step *step, char *text, size_t size)
{
	const struct resolved *addresses = step->addresses;
	const char *host = step->bastion != NULL ? step->bastion->options.host
						 : address_host(step->endpoint);

	(void)snprintf(text, size, "%s", is_literal(host) ? "no lookup needed: " : host);
	append(text, size, "%s", is_literal(host) ? "" : " is ");
	for (size_t i = 0; i < addresses->count && i < SHOWN_ADDRESSES; i++) {
		append(text, size, "%s", i > 0 ? ", " : "");
		append_address(text, size, &addresses->items[i].storage,
			       addresses->items[i].length);
	}
	if (addresses->count > SHOWN_ADDRESSES)
		append(text, size, " and %zu more", addresses->count - SHOWN_ADDRESSES);
	return DOCTOR_OK;
}

static enum doctor_verdict
describe_tls(const struct step *step, const struct service *service, char *text, size_t size,
	     char *advice, size_t advice_size)
{
	struct tls_certificate certificate;

	(void)snprintf(text, size, "%s, %s", tls_stream_version(step->secured),
		       tls_stream_cipher(step->secured));
	if (!tls_stream_get_certificate(step->secured, &certificate))
		return DOCTOR_OK;
	long days = (long)((certificate.expires_at - time(NULL)) / SECONDS_A_DAY);
	append(text, size,
	       "; the certificate is for %s, issued by '%s', good for %ld days; chain of %d",
	       certificate.names, certificate.issuer, days, certificate.chain_length);
	if (!service->options.verify_chain && !service->options.verify_peer) {
		append(text, size, "; NOT VERIFIED");
		(void)snprintf(
			advice, advice_size,
			"verifyChain = no lets any impostor pass. Leave it out, and say with "
			"checkHost or CAfile what is right.");
		return DOCTOR_NOTE;
	}
	if (days >= FEW_DAYS)
		return DOCTOR_OK;
	(void)snprintf(
		advice, advice_size,
		"It expires soon: whoever runs the endpoint should renew it now. ElastiCache's "
		"are renewed by AWS.");
	return DOCTOR_NOTE;
}

enum doctor_verdict
doctor_step_describe(const struct step *step, const struct service *service, char *text,
		     size_t size, char *advice, size_t advice_size)
{
	char endpoint[SOCKET_NAME_SIZE];

	advice[0] = '\0';
	switch (step->kind) {
	case STEP_NAME:
		return describe_name(step, text, size);
	case STEP_CONNECT:
		if (step->bastion == NULL)
			(void)snprintf(text, size, "%s takes connections", step->detail);
		else
			(void)snprintf(text, size, "bastion '%s' is reached: %s",
				       step->bastion->name, step->detail);
		return DOCTOR_OK;
	case STEP_HOST_KEY:
		(void)snprintf(text, size, "bastion '%s' shows %s", step->bastion->name,
			       step->detail);
		return DOCTOR_OK;
	case STEP_LOGIN:
		(void)snprintf(text, size, "into bastion '%s' as %s", step->bastion->name,
			       step->detail);
		return DOCTOR_OK;
	case STEP_CHANNEL:
		(void)snprintf(text, size, "bastion '%s' reaches %s", step->bastion->name,
			       address_format(step->endpoint, endpoint, sizeof endpoint));
		return DOCTOR_OK;
	case STEP_TLS:
		return describe_tls(step, service, text, size, advice, advice_size);
	}
	return DOCTOR_OK;
}

enum doctor_verdict
doctor_facts_describe_ping(const struct redis_facts *facts, char *text, size_t size, char *advice,
			   size_t advice_size)
{
	advice[0] = '\0';
	if (facts->needs_login) {
		(void)snprintf(
			text, size,
			"NOAUTH: it is there, and wants clients to log in; more is not asked");
		return DOCTOR_OK;
	}
	(void)snprintf(text, size, "%s", facts->ping);
	if (strcmp(facts->ping, "PONG") == 0)
		return DOCTOR_OK;
	if (facts->is_up) {
		(void)snprintf(advice, advice_size,
			       "The server is there, but does not serve everybody just now.");
		return DOCTOR_NOTE;
	}
	if (strncmp(facts->ping, "DENIED", strlen("DENIED")) == 0)
		(void)snprintf(
			advice, advice_size,
			"That Redis takes clients of its own machine only (protected-mode).");
	else if (strstr(facts->ping, "max number of clients") != NULL)
		(void)snprintf(
			advice, advice_size,
			"Too many clients are connected: ElastiCache allows 65,000 a node; look "
			"for one that never closes (CLIENT LIST).");
	else
		(void)snprintf(advice, advice_size,
			       "The way is good, and the server itself refuses.");
	return DOCTOR_FAILED;
}

enum doctor_verdict
doctor_facts_describe_server(const struct redis_facts *facts, char *text, size_t size, char *advice,
			     size_t advice_size)
{
	advice[0] = '\0';
	if (facts->version[0] != '\0')
		(void)snprintf(text, size, "%s %s", facts->engine, facts->version);
	else if (facts->refusal[0] != '\0')
		(void)snprintf(text, size, "INFO is not allowed (%s)", facts->refusal);
	else
		(void)snprintf(text, size, "it does not say what it is");
	switch (facts->cluster) {
	case REDIS_CLUSTER_UNKNOWN:
		append(text, size, "; whether cluster mode is on is not known");
		break;
	case REDIS_CLUSTER_OFF:
		append(text, size, "; cluster mode is off");
		break;
	case REDIS_CLUSTER_ON:
		append(text, size, "; cluster mode is on");
		(void)snprintf(
			advice, advice_size,
			"Clients are told the nodes' own addresses (MOVED, CLUSTER SLOTS), which "
			"lead around the tunnel: a cluster client needs every node reachable.");
		return DOCTOR_NOTE;
	}
	return DOCTOR_OK;
}
