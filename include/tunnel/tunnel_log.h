#ifndef CACHETUNNEL_TUNNEL_TUNNEL_LOG_H
#define CACHETUNNEL_TUNNEL_TUNNEL_LOG_H

#include "base/log.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The lines that the log gets about one tunnel, as text and as facts: accepted, connected, closed,
 * or why there is none. It also knows which of them are not worth a line: those of a connection
 * that carries no byte (a probe of a port, a health check) are for debug level only, so the first
 * two wait for the first byte; and `quiet` names more.
 */

struct address;
struct service;
struct stream;

/* What is known of the tunnel now; all borrowed for the call. */
struct tunnel_story {
	const struct log_scope *log;
	const struct service *service;
	const char *peer;
	const struct address *endpoint; /* NULL: not connected yet */
	const char *server_name;        /* the address that was reached */
	const struct stream *secured;   /* NULL: not connected, or without TLS */
	bool is_warm;                   /* the connection was ready before the client came */
	uint64_t accepted_us;
	uint64_t connected_us;
	uint64_t bytes_to_server;
	uint64_t bytes_to_client;
};

/* A client has come. Returns whether that is told; else tunnel_log_begin() tells it. */
bool tunnel_log_accepted(const struct tunnel_story *story);

/* The first byte has come and nothing is told yet: tells what is known by now. */
void tunnel_log_begin(const struct tunnel_story *story);

/* The server is reached, and the beginning was told. */
void tunnel_log_connected(const struct tunnel_story *story);

/* It is open: somebody has asked. */
void tunnel_log_open(const struct tunnel_story *story);

/* It has ended. `is_trouble`: not in the way that connections end. */
void tunnel_log_closed(const struct tunnel_story *story, bool is_trouble, bool is_reset,
		       const char *why);

/* There is no tunnel for the client. `is_probe`: it left by itself, and never said a word. */
void tunnel_log_failed(const struct tunnel_story *story, enum log_level level, bool is_probe,
		       const char *why);

#endif
