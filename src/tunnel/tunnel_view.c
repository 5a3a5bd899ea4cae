#include "tunnel/tunnel.h"

#include "stream/tls_stream.h"
#include "tunnel/relay.h"
#include "tunnel/stats.h"
#include "tunnel/tunnel_internal.h"

#include <stdio.h>

void
tunnel_account(struct tunnel *tunnel)
{
	struct stats *stats = tunnel->service->stats;

	if (tunnel->relay == NULL)
		return;
	uint64_t to_server = relay_bytes_to_server(tunnel->relay);
	uint64_t to_client = relay_bytes_to_client(tunnel->relay);
	stats_add(&stats->bytes_to_server, to_server - tunnel->counted_to_server);
	stats_add(&stats->bytes_to_client, to_client - tunnel->counted_to_client);
	tunnel->counted_to_server = to_server;
	tunnel->counted_to_client = to_client;
}

struct tunnel_story
tunnel_story(const struct tunnel *tunnel)
{
	struct tunnel_story story = {
		.log = &tunnel->log,
		.service = tunnel->service->service,
		.peer = tunnel->peer,
		.endpoint = tunnel->endpoint,
		.server_name = tunnel->server_name,
		.secured = tunnel->is_tls ? tunnel->server : NULL,
		.is_warm = tunnel->is_warm,
		.accepted_us = tunnel->accepted_us,
		.connected_us = tunnel->connected_us,
	};

	if (tunnel->relay == NULL)
		return story;
	story.bytes_to_server = relay_bytes_to_server(tunnel->relay);
	story.bytes_to_client = relay_bytes_to_client(tunnel->relay);
	return story;
}

void
tunnel_tell(const struct tunnel *tunnel)
{
	const struct tunnel_story story = tunnel_story(tunnel);

	if (tunnel->state != TUNNEL_ENDED)
		tunnel_log_open(&story);
}

const char *
tunnel_service(const struct tunnel *tunnel)
{
	return tunnel_service_name(tunnel);
}

const char *
tunnel_server(const struct tunnel *tunnel)
{
	return tunnel->state == TUNNEL_RELAYING ? tunnel->server_name : NULL;
}

void
tunnel_describe(const struct tunnel *tunnel, struct tunnel_view *ret_view)
{
	*ret_view = (struct tunnel_view){.accepted_us = tunnel->accepted_us};
	(void)snprintf(ret_view->id, sizeof ret_view->id, "%s", tunnel->log.id);
	(void)snprintf(ret_view->service, sizeof ret_view->service, "%s",
		       tunnel_service_name(tunnel));
	(void)snprintf(ret_view->peer, sizeof ret_view->peer, "%s", tunnel->peer);
	if (tunnel->relay == NULL)
		return;
	(void)address_format(tunnel->endpoint, ret_view->endpoint, sizeof ret_view->endpoint);
	(void)snprintf(ret_view->server, sizeof ret_view->server, "%s", tunnel->server_name);
	(void)snprintf(ret_view->security, sizeof ret_view->security, "%s",
		       tunnel->is_tls ? tls_stream_version(tunnel->server) : "plain");
	ret_view->bytes_to_server = relay_bytes_to_server(tunnel->relay);
	ret_view->bytes_to_client = relay_bytes_to_client(tunnel->relay);
}
