#ifndef CACHETUNNEL_TUNNEL_TUNNEL_INTERNAL_H
#define CACHETUNNEL_TUNNEL_TUNNEL_INTERNAL_H

#include "base/buffer.h"
#include "base/log.h"
#include "tunnel/setup.h"
#include "tunnel/socket_setup.h"
#include "tunnel/stay.h"
#include "tunnel/tunnel_log.h"
#include "tunnel/tunnels.h"

/* What a tunnel is made of: for tunnel.c, which lives it, and tunnel_view.c, which tells of it. */

struct generation;
struct refusal;
struct relay;
struct search;
struct stream;
struct worker;

enum tunnel_state {
	TUNNEL_DIALLING, /* the server's stream is being made; the client may speak already */
	TUNNEL_RELAYING,
	TUNNEL_REFUSING, /* there is no server; the client is told why */
	TUNNEL_ENDED,    /* everything is let go at the end of this turn of the loop */
};

struct tunnel {
	struct tunnel_slot slot;             /* first, so that we are found by it */
	struct worker *worker;               /* borrowed; owns us */
	struct generation *generation;       /* one reference; stays the same across a reload */
	const struct setup_service *service; /* borrowed from its setup */
	struct log_scope log;
	enum tunnel_state state; /* written by set_state() only */

	struct stream *client;   /* owned */
	struct search *search;   /* owned; while dialling, and until tidied */
	struct stream *server;   /* owned; from the end of the search on */
	struct relay *relay;     /* owned; borrows the two streams */
	struct refusal *refusal; /* owned; while refusing, and until tidied */
	struct stay stay;        /* at the server */
	struct buffer early;     /* what the client said while we were dialling */
	bool is_inspected;       /* the client's first bytes have been looked at */
	bool is_told;            /* the log has the beginning */
	bool is_draining;        /* it is to end once no reply is outstanding */

	const struct address *endpoint; /* borrowed from the service; NULL while dialling */
	char peer[SOCKET_NAME_SIZE];
	char server_name[SOCKET_NAME_SIZE];
	bool is_tls;
	bool is_warm;
	uint64_t accepted_us;
	uint64_t connected_us;
	uint64_t counted_to_server; /* of the bytes moved, those that the counters have */
	uint64_t counted_to_client;
};

static inline const char *
tunnel_service_name(const struct tunnel *tunnel)
{
	return tunnel->service->service->name;
}

/* What the log tells of it; borrowed from the tunnel. */
struct tunnel_story tunnel_story(const struct tunnel *tunnel);

#endif
