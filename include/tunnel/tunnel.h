#ifndef CACHETUNNEL_TUNNEL_TUNNEL_H
#define CACHETUNNEL_TUNNEL_TUNNEL_H

#include "base/log.h"
#include "tunnel/socket_setup.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * One client's connection and everything that exists for it: the client's stream, the dial or
 * the server's stream, the relay between them, and the lines that the log gets about it.
 * Owned by its worker, and used in its thread only.
 */

struct generation;
struct tunnel;
struct worker;
struct worker_client;

/* Begins a tunnel for `client`, whose descriptor and reference it takes, also on failure. It holds
 * `generation`, which is of the client's setup, to its end. Returns owned; NULL, with the client
 * closed and logged, when it could not begin. */
struct tunnel *tunnel_start(struct worker *worker, struct generation *generation,
			    const struct worker_client *client);

/* Closes a client for which there is no memory, and takes its reference. */
void tunnel_turn_away(const struct worker_client *client);

/* Frees what is no longer needed, which may be the tunnel itself: true if it is gone. */
bool tunnel_tidy(struct tunnel *tunnel);

/* Ends it as soon as no reply is outstanding, or now if the client has asked for nothing yet. */
void tunnel_drain(struct tunnel *tunnel);

/* Whether its server is to give a sign of life each second (stream_set_urgent()). */
void tunnel_set_urgent(struct tunnel *tunnel, bool is_urgent);

/* Logs that it is open, and what it is. */
void tunnel_tell(const struct tunnel *tunnel);

/* Ends it now, because the daemon stops; `why` is for the log. Frees it. */
void tunnel_stop(struct tunnel *tunnel, const char *why);

/* What an open tunnel looks like from outside; can be copied to another thread. */
struct tunnel_view {
	char id[LOG_ID_SIZE]; /* as in the log */
	char service[64];     /* its name; cut if longer */
	char peer[SOCKET_NAME_SIZE];
	char endpoint[SOCKET_NAME_SIZE]; /* empty while dialling */
	char server[SOCKET_NAME_SIZE];   /* the address that was reached */
	char security[64];               /* "TLSv1.3", "plain"; empty while dialling */
	uint64_t accepted_us;            /* by clock_now_us() */
	uint64_t bytes_to_server;
	uint64_t bytes_to_client;
};

void tunnel_describe(const struct tunnel *tunnel, struct tunnel_view *ret_view);

/* The service's name and the address that was reached, both borrowed; NULL: it is not there yet. */
const char *tunnel_service(const struct tunnel *tunnel);
const char *tunnel_server(const struct tunnel *tunnel);

/* Adds to the service's counters what it has moved since it was last asked. */
void tunnel_account(struct tunnel *tunnel);

#endif
