#include "tunnel/tunnel.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "stream/socket_stream.h"
#include "stream/tls_stream.h"
#include "tunnel/generation.h"
#include "tunnel/health.h"
#include "tunnel/log_id.h"
#include "tunnel/refusal.h"
#include "tunnel/relay.h"
#include "tunnel/search.h"
#include "tunnel/socket_setup.h"
#include "tunnel/stats.h"
#include "tunnel/stay.h"
#include "tunnel/tunnel_end.h"
#include "tunnel/tunnel_internal.h"
#include "tunnel/tunnel_log.h"
#include "tunnel/tunnels.h"
#include "tunnel/worker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How much of what a client says is kept while there is no server: hold.c's bound of those who wait
 * makes 16 MiB of it. The rest stays in the kernel. */
enum {
	MAX_EARLY = 4096,
	LAST_BYTES_S = 60, /* as TIMEOUTclose's default */
};

static const char *const state_names[] = {
	[TUNNEL_DIALLING] = "dialling",
	[TUNNEL_RELAYING] = "relaying",
	[TUNNEL_REFUSING] = "refusing",
	[TUNNEL_ENDED] = "ended",
};

static void
set_state(struct tunnel *tunnel, enum tunnel_state state)
{
	assert(state > tunnel->state);
	log_write(&tunnel->log, LOG_LEVEL_DEBUG, "tunnel: %s -> %s", state_names[tunnel->state],
		  state_names[state]);
	tunnel->state = state;
}

static const struct service_options *
options_of(const struct tunnel *tunnel)
{
	return &tunnel->service->service->options;
}

/* Once for each tunnel, at its end. */
static void
count_end(struct tunnel *tunnel, enum stats_end how)
{
	tunnel_account(tunnel);
	stats_add(&tunnel->service->stats->ended[how], 1);
}

static void
end(struct tunnel *tunnel, enum stats_end how)
{
	count_end(tunnel, how);
	stream_set_interest(tunnel->client, 0);
	set_state(tunnel, TUNNEL_ENDED);
	tunnels_tidy_later(worker_tunnels(tunnel->worker), tunnel);
}

static void
tell_arrival(struct tunnel *tunnel)
{
	const struct tunnel_story story = tunnel_story(tunnel);

	tunnel->is_told = tunnel_log_accepted(&story);
}

/* Something moves, so it is more than a probe. */
static void
tell_beginning(struct tunnel *tunnel)
{
	const struct tunnel_story story = tunnel_story(tunnel);

	if (!tunnel->is_told)
		tunnel_log_begin(&story);
	tunnel->is_told = true;
}

/* The tunnel never came to relay anything. */
static void
end_unconnected(struct tunnel *tunnel, enum stats_end how, enum log_level level, const char *why)
{
	const struct tunnel_story story = tunnel_story(tunnel);

	tunnel_log_failed(&story, level, false, why);
	end(tunnel, how);
}

static void
log_end(struct tunnel *tunnel, bool is_trouble, bool is_reset, const char *why)
{
	struct tunnel_story story = tunnel_story(tunnel);

	if (story.bytes_to_server + story.bytes_to_client > 0)
		tell_beginning(tunnel);
	tunnel_log_closed(&story, is_trouble, is_reset, why);
}

/* What broke on one side is passed on to the other as a reset, unless the service says that
 * even errors are to look like an orderly end (`reset = no`). */
static void
pass_reset_on(struct tunnel *tunnel, const struct tunnel_end *what)
{
	if (!options_of(tunnel)->reset)
		return;
	if (what->resets_server)
		stream_reset_on_close(tunnel->server);
	if (what->resets_client)
		stream_reset_on_close(tunnel->client);
}

static void
on_relay_end(void *arg, enum relay_end how, const struct err *err)
{
	const struct tunnel_end *what = tunnel_end_of(how);
	struct tunnel *tunnel = arg;
	char why[ERR_TEXT_SIZE + 128];

	pass_reset_on(tunnel, what);
	(void)snprintf(why, sizeof why, "%s%s%s", what->words, err->text[0] ? ": " : "", err->text);
	log_end(tunnel, what->is_trouble, what->resets_server || what->resets_client, why);
	stay_note_end(&tunnel->stay, how, err, relay_bytes_to_server(tunnel->relay),
		      relay_bytes_to_client(tunnel->relay));
	end(tunnel, what->counted_as);
}

/* A Redis client never begins with the byte that begins every TLS connection (RFC 8446, 5.1:
 * record type 22, handshake). */
static bool
inspect_first_bytes(void *arg, const unsigned char *bytes, size_t length ATTR_UNUSED,
		    struct err *err)
{
	struct tunnel *tunnel = arg;

	tunnel->is_inspected = true;
	tell_beginning(tunnel);
	if (bytes[0] != 0x16)
		return true;
	return err_set(err, "the client speaks TLS to a port that takes plain Redis; remove --tls "
			    "or rediss:// there, cachetunnel does the TLS");
}

/* The client is lost while the dial is still under way. */
static void
give_up(struct tunnel *tunnel, enum stats_end how, enum log_level level, const char *why)
{
	search_free(tunnel->search);
	tunnel->search = NULL;
	end_unconnected(tunnel, how, level, why);
}

/* The client has left without a word, while the dial is under way. */
static void
let_go(struct tunnel *tunnel)
{
	const struct tunnel_story story = tunnel_story(tunnel);

	search_free(tunnel->search);
	tunnel->search = NULL;
	tunnel_log_failed(&story, LOG_LEVEL_DEBUG, true,
			  "the client left before the server had answered");
	end(tunnel, STATS_CLIENT_LEFT);
}

/* Until there is a server, one piece of what the client says is kept, so that a client that
 * leaves again is noticed, and so is one that speaks TLS. */
static void
on_early_bytes(void *arg, struct stream *client, unsigned ready ATTR_UNUSED)
{
	struct tunnel *tunnel = arg;
	struct scratch *scratch = worker_scratch(tunnel->worker);
	struct err err = {{0}};
	size_t count = 0;

	switch (stream_read(client, scratch->bytes, MAX_EARLY, &count, &err)) {
	case STREAM_AGAIN:
		return;
	case STREAM_OK:
		stream_set_interest(client, 0);
		if (!inspect_first_bytes(tunnel, scratch->bytes, count, &err))
			give_up(tunnel, STATS_REFUSED, LOG_LEVEL_WARNING, err.text);
		else if (!buffer_append(&tunnel->early, scratch->bytes, count))
			give_up(tunnel, STATS_NO_MEMORY, LOG_LEVEL_ERROR, "out of memory");
		return;
	case STREAM_EOF:
	case STREAM_RESET:
	case STREAM_FAILED:
		let_go(tunnel);
		return;
	}
}

static void
on_passing(void *arg, bool is_from_client, const unsigned char *bytes, size_t length)
{
	struct tunnel *tunnel = arg;

	stay_observe(&tunnel->stay, is_from_client, bytes, length);
}

static bool
is_quiet(void *arg)
{
	const struct tunnel *tunnel = arg;

	return stay_is_quiet(&tunnel->stay);
}

static bool
begin_stay(struct tunnel *tunnel, const struct dial_outcome *outcome)
{
	const struct stay_request request = {
		.base = worker_base(tunnel->worker),
		.generation = tunnel->generation,
		.timeout_move_s = options_of(tunnel)->timeout_move_s,
		.log = &tunnel->log,
		.service = tunnel_service_name(tunnel),
	};

	if (!stay_begin(&tunnel->stay, &request, outcome))
		return false;
	if (stay_listens(&tunnel->stay) && buffer_length(&tunnel->early) > 0)
		stay_observe(&tunnel->stay, true, buffer_head(&tunnel->early),
			     buffer_length(&tunnel->early));
	return true;
}

static void
start_relay(struct tunnel *tunnel)
{
	const struct relay_settings settings = {
		.base = worker_base(tunnel->worker),
		.scratch = worker_scratch(tunnel->worker),
		.idle_s = options_of(tunnel)->timeout_idle_s,
		.close_s = options_of(tunnel)->timeout_close_s,
		.last_s = LAST_BYTES_S,
		.inspect = tunnel->is_inspected ? NULL : inspect_first_bytes,
		.observe = stay_listens(&tunnel->stay) ? on_passing : NULL,
		.is_quiet = is_quiet,
		.on_end = on_relay_end,
		.arg = tunnel,
	};

	set_state(tunnel, TUNNEL_RELAYING);
	tunnel->relay = relay_new(tunnel->client, tunnel->server, &settings, &tunnel->early);
	if (tunnel->relay == NULL)
		end_unconnected(tunnel, STATS_NO_MEMORY, LOG_LEVEL_ERROR, "out of memory");
	else
		stay_relay(&tunnel->stay, tunnel->relay);
	if (tunnel->relay != NULL && tunnel->is_draining)
		relay_drain(tunnel->relay);
}

static void
on_refused(void *arg)
{
	end(arg, STATS_NOT_CONNECTED);
}

/* There is no server for the client. */
static void
refuse(struct tunnel *tunnel, const char *why)
{
	const struct tunnel_story story = tunnel_story(tunnel);
	const struct refusal_request request = {
		.base = worker_base(tunnel->worker),
		.client = tunnel->client,
		.scratch = worker_scratch(tunnel->worker),
		.why = why,
		.has_spoken = tunnel->is_inspected,
		.on_over = on_refused,
		.arg = tunnel,
	};

	tunnel_log_failed(&story, LOG_LEVEL_ERROR, false, why);
	if (options_of(tunnel)->errors == ERRORS_RESP)
		tunnel->refusal = refusal_start(&request);
	if (tunnel->refusal != NULL)
		set_state(tunnel, TUNNEL_REFUSING);
	else
		end(tunnel, STATS_NOT_CONNECTED);
}

static void
on_found(void *arg, const struct dial_outcome *outcome, const struct err *err)
{
	struct tunnel *tunnel = arg;

	tunnels_tidy_later(worker_tunnels(tunnel->worker),
			   tunnel); /* the search is no longer needed */
	if (outcome == NULL) {
		refuse(tunnel, err->text);
		return;
	}
	tunnel->server = outcome->stream;
	tunnel->endpoint = outcome->endpoint;
	tunnel->is_tls = outcome->is_tls;
	tunnel->is_warm = outcome->is_warm;
	tunnel->connected_us = clock_now_us();
	(void)snprintf(tunnel->server_name, sizeof tunnel->server_name, "%s", outcome->name);
	if (tunnel->is_told) {
		const struct tunnel_story story = tunnel_story(tunnel);
		tunnel_log_connected(&story);
	}
	if (begin_stay(tunnel, outcome))
		start_relay(tunnel);
	else
		end_unconnected(tunnel, STATS_NO_MEMORY, LOG_LEVEL_ERROR, "out of memory");
}

static bool
start_search(struct tunnel *tunnel)
{
	const struct search_request request = {
		.generation = tunnel->generation,
		.service = tunnel->service,
		.log = &tunnel->log,
	};

	tunnel->search = search_start(&request, on_found, tunnel);
	return tunnel->search != NULL;
}

void
tunnel_turn_away(const struct worker_client *client)
{
	(void)close(client->fd);
	setup_release(client->setup, client->service_index);
	setup_unref(client->setup);
	log_write(&log_main, LOG_LEVEL_ERROR, "a client was turned away: out of memory");
}

/* Takes the client's descriptor and reference into a tunnel; NULL, with both let go, when there
 * is no memory. */
static struct tunnel *
adopt(struct worker *worker, struct generation *generation, const struct worker_client *client)
{
	struct tunnel *tunnel = calloc(1, sizeof *tunnel);

	if (tunnel == NULL) {
		tunnel_turn_away(client);
		return NULL;
	}
	assert(client->setup == generation_setup(generation));
	setup_unref(client->setup); /* the generation's own does */
	list_init(&tunnel->slot.all);
	list_init(&tunnel->slot.to_tidy);
	tunnel->worker = worker;
	tunnel->generation = generation_ref(generation);
	tunnel->service = setup_get_service(generation_setup(generation), client->service_index);
	tunnel->accepted_us = clock_now_us();
	stats_add(&tunnel->service->stats->opened, 1);
	(void)socket_name(&client->peer, client->peer_length, tunnel->peer, sizeof tunnel->peer);
	buffer_init(&tunnel->early);
	log_id_begin(&tunnel->log, options_of(tunnel));
	tunnel->log.service = tunnel_service_name(tunnel);
	tunnel->client = socket_stream_new(worker_base(worker), client->fd);
	return tunnel;
}

static void
free_tunnel(struct tunnel *tunnel)
{
	list_remove(&tunnel->slot.all);
	list_remove(&tunnel->slot.to_tidy);
	stay_done(&tunnel->stay);
	relay_free(tunnel->relay);
	refusal_free(tunnel->refusal);
	search_free(tunnel->search);
	stream_free(tunnel->server);
	stream_free(tunnel->client);
	buffer_done(&tunnel->early);
	setup_release(generation_setup(tunnel->generation), tunnel->service->service->index);
	generation_unref(tunnel->generation);
	free(tunnel);
}

struct tunnel *
tunnel_start(struct worker *worker, struct generation *generation,
	     const struct worker_client *client)
{
	struct tunnel *tunnel = adopt(worker, generation, client);
	struct err err = {{0}};

	if (tunnel == NULL)
		return NULL;
	if (tunnel->client == NULL) {
		(void)err_set(&err, "out of memory");
		goto fail;
	}
	tell_arrival(tunnel);
	if (!socket_setup(client->fd, client->peer.ss_family, SOCKET_SIDE_LOCAL, 0,
			  &options_of(tunnel)->socket, &err))
		goto fail;
	if (!start_search(tunnel)) {
		(void)err_set(&err, "out of memory");
		goto fail;
	}
	stream_set_handler(tunnel->client, on_early_bytes, tunnel);
	stream_set_interest(tunnel->client, STREAM_READ);
	return tunnel;
fail:
	log_write(&log_main, LOG_LEVEL_ERROR, "a client was turned away: %s", err.text);
	count_end(tunnel, STATS_NO_MEMORY);
	free_tunnel(tunnel);
	return NULL;
}

bool
tunnel_tidy(struct tunnel *tunnel)
{
	if (tunnel->state == TUNNEL_ENDED) {
		free_tunnel(tunnel);
		return true;
	}
	search_free(tunnel->search);
	tunnel->search = NULL;
	return false;
}

void
tunnel_drain(struct tunnel *tunnel)
{
	tunnel->is_draining = true;
	if (tunnel->state == TUNNEL_RELAYING)
		relay_drain(tunnel->relay);
	if (tunnel->state == TUNNEL_REFUSING) {
		refusal_free(tunnel->refusal); /* its timer may be due in this very turn */
		tunnel->refusal = NULL;
		end(tunnel, STATS_NOT_CONNECTED);
	}
	if (tunnel->state != TUNNEL_DIALLING || buffer_length(&tunnel->early) > 0)
		return;
	/* What it has asked for already counts. */
	on_early_bytes(tunnel, tunnel->client, STREAM_READ);
	if (tunnel->state == TUNNEL_DIALLING && buffer_length(&tunnel->early) == 0)
		give_up(tunnel, STATS_STOPPED, LOG_LEVEL_NOTICE, "cachetunnel stops");
}

void
tunnel_set_urgent(struct tunnel *tunnel, bool is_urgent)
{
	if (tunnel->state == TUNNEL_RELAYING)
		stream_set_urgent(tunnel->server, is_urgent);
}

void
tunnel_stop(struct tunnel *tunnel, const char *why)
{
	const struct tunnel_story story = tunnel_story(tunnel);

	if (tunnel->state == TUNNEL_RELAYING)
		log_end(tunnel, false, false, why);
	else if (tunnel->state == TUNNEL_DIALLING)
		tunnel_log_failed(&story, LOG_LEVEL_NOTICE, !tunnel->is_inspected, why);
	if (tunnel->state != TUNNEL_ENDED)
		count_end(tunnel, STATS_STOPPED);
	free_tunnel(tunnel);
}
