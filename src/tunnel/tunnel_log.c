#include "tunnel/tunnel_log.h"

#include "base/clock.h"
#include "config/config.h"
#include "stream/tls_stream.h"
#include "tunnel/socket_setup.h"

#include <stdio.h>

static bool
is_quiet(const struct tunnel_story *story, enum quiet class)
{
	return ((unsigned)story->service->options.quiet & (unsigned)class) != 0;
}

static bool
is_connected(const struct tunnel_story *story)
{
	return story->endpoint != NULL;
}

static const char *
version_of(const struct tunnel_story *story)
{
	return story->secured != NULL ? tls_stream_version(story->secured) : "plain";
}

static double
milliseconds(uint64_t from_us, uint64_t to_us)
{
	return (double)(to_us - from_us) / 1000.0;
}

/* `endpoint`, SOCKET_NAME_SIZE bytes, is where the endpoint's text is kept. */
static struct log_facts
facts_of(const struct tunnel_story *story, char *endpoint)
{
	struct log_facts facts = {.service = story->service->name, .peer = story->peer};

	if (!is_connected(story))
		return facts;
	facts.endpoint = address_format(story->endpoint, endpoint, SOCKET_NAME_SIZE);
	facts.server = story->server_name;
	facts.security = version_of(story);
	facts.connect_us = story->connected_us - story->accepted_us;
	return facts;
}

static void
write_accepted(const struct tunnel_story *story)
{
	char endpoint[SOCKET_NAME_SIZE];
	const struct log_facts facts = facts_of(story, endpoint);

	log_write_facts(story->log, LOG_LEVEL_NOTICE, &facts,
			"Service [%s] accepted connection from %s", story->service->name,
			story->peer);
}

bool
tunnel_log_accepted(const struct tunnel_story *story)
{
	if (!log_is_on(story->log, LOG_LEVEL_DEBUG) || is_quiet(story, QUIET_CONNECTIONS) ||
	    is_quiet(story, QUIET_PROBES))
		return false;
	write_accepted(story);
	return true;
}

void
tunnel_log_begin(const struct tunnel_story *story)
{
	if (is_quiet(story, QUIET_CONNECTIONS))
		return;
	write_accepted(story);
	if (is_connected(story))
		tunnel_log_connected(story);
}

void
tunnel_log_connected(const struct tunnel_story *story)
{
	char endpoint[SOCKET_NAME_SIZE];
	char security[128] = "plain";

	if (is_quiet(story, QUIET_CONNECTIONS) || !log_is_on(story->log, LOG_LEVEL_NOTICE))
		return;
	const struct log_facts facts = facts_of(story, endpoint);
	if (story->secured != NULL)
		(void)snprintf(security, sizeof security, "%s %s, %s session",
			       tls_stream_version(story->secured),
			       tls_stream_cipher(story->secured),
			       tls_stream_is_resumed(story->secured) ? "resumed" : "new");
	log_write_facts(story->log, LOG_LEVEL_NOTICE, &facts,
			"Service [%s] connected to %s (%s), %s, %s%.1f ms", story->service->name,
			endpoint, story->server_name, security, story->is_warm ? "warm, " : "",
			milliseconds(story->accepted_us, story->connected_us));
}

void
tunnel_log_open(const struct tunnel_story *story)
{
	char endpoint[SOCKET_NAME_SIZE];
	struct log_facts facts = facts_of(story, endpoint);
	double age_s = milliseconds(story->accepted_us, clock_now_us()) / 1000.0;

	if (!is_connected(story)) {
		log_write_facts(story->log, LOG_LEVEL_NOTICE, &facts,
				"Open: service [%s], %s, connecting for %.1f s",
				story->service->name, story->peer, age_s);
		return;
	}
	facts.has_bytes = true;
	facts.bytes_to_server = story->bytes_to_server;
	facts.bytes_to_client = story->bytes_to_client;
	log_write_facts(story->log, LOG_LEVEL_NOTICE, &facts,
			"Open: service [%s], %s to %s (%s), %s, for %.1f s, %llu byte(s) to the "
			"server, %llu byte(s) to the client",
			story->service->name, story->peer, endpoint, story->server_name,
			version_of(story), age_s, (unsigned long long)story->bytes_to_server,
			(unsigned long long)story->bytes_to_client);
}

/* The first words are stunnel's: scripts search for them. */
void
tunnel_log_closed(const struct tunnel_story *story, bool is_trouble, bool is_reset, const char *why)
{
	char endpoint[SOCKET_NAME_SIZE];
	uint64_t now_us = clock_now_us();
	bool is_probe = !is_trouble && story->bytes_to_server + story->bytes_to_client == 0;
	enum log_level level = is_trouble ? LOG_LEVEL_WARNING
			       : is_probe ? LOG_LEVEL_DEBUG
					  : LOG_LEVEL_NOTICE;

	if (!is_trouble &&
	    (is_quiet(story, QUIET_CONNECTIONS) || (is_probe && is_quiet(story, QUIET_PROBES))))
		return;
	struct log_facts facts = facts_of(story, endpoint);
	facts.has_bytes = true;
	facts.bytes_to_server = story->bytes_to_server;
	facts.bytes_to_client = story->bytes_to_client;
	facts.open_us = now_us - story->connected_us;
	log_write_facts(
		story->log, level, &facts,
		"Connection %s: %llu byte(s) sent to %s, %llu byte(s) sent to socket; "
		"service [%s], %s to %s (%s), %s, connected in %.1f ms, open for %.1f s: %s",
		is_reset ? "reset" : "closed", (unsigned long long)story->bytes_to_server,
		story->secured != NULL ? "TLS" : "server",
		(unsigned long long)story->bytes_to_client, story->service->name, story->peer,
		endpoint, story->server_name, version_of(story),
		milliseconds(story->accepted_us, story->connected_us),
		milliseconds(story->connected_us, now_us) / 1000.0, why);
}

void
tunnel_log_failed(const struct tunnel_story *story, enum log_level level, bool is_probe,
		  const char *why)
{
	char endpoint[SOCKET_NAME_SIZE];
	char gist[LOG_TEXT_SIZE];
	const struct log_facts facts = facts_of(story, endpoint);
	enum quiet class = is_probe ? QUIET_PROBES | QUIET_CONNECTIONS : QUIET_CONNECTIONS;

	if (is_probe)
		level = LOG_LEVEL_DEBUG;
	if (level > LOG_LEVEL_WARNING && is_quiet(story, class))
		return;
	(void)snprintf(gist, sizeof gist, "Service [%s]: no tunnel: %s", story->service->name, why);
	log_write_repeatable(story->log, level, &facts, gist, "Service [%s]: no tunnel for %s: %s",
			     story->service->name, story->peer, why);
}
