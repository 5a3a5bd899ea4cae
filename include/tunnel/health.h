#ifndef CACHETUNNEL_TUNNEL_HEALTH_H
#define CACHETUNNEL_TUNNEL_HEALTH_H

#include "base/err.h"
#include "base/list.h"
#include "stream/tls_certificate.h"
#include "tunnel/socket_setup.h"
#include "tunnel/stats.h"
#include "tunnel/step.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * How a service's way to its endpoint is, layer by layer, as one worker has seen it: what went
 * well last, what failed last, when, and in which words. It observes the steps that tunnels take
 * anyway (step.h), and counts their failures and latencies.
 *
 * A worker has one for each service name, which outlives reloads. Nobody else touches it: the main
 * thread asks for a copy (inquiry.h) and puts those of all workers together.
 */

enum health_layer {
	HEALTH_NAME,    /* the endpoint's name is resolved */
	HEALTH_BASTION, /* we are logged in to it */
	HEALTH_CONNECT, /* the endpoint takes connections, from here or from the bastion */
	HEALTH_TLS,     /* it proves who it is */
	HEALTH_REDIS,   /* it answers a PING */
	HEALTH_LAYER_COUNT,
};

/* When something happened: for spans and order, and for people. 0: never. */
struct health_moment {
	uint64_t at_us;  /* by clock_now_us() */
	int64_t wall_ms; /* since 1970 */
};

struct health_step {
	struct health_moment passed;
	struct health_moment failed;
	char error[ERR_TEXT_SIZE]; /* of the last failure */
};

/* A server that was left because it was the primary no longer. */
struct health_move {
	struct health_moment at;
	char from[SOCKET_NAME_SIZE];
	char to[SOCKET_NAME_SIZE]; /* where the next tunnel went; empty: there was none yet */
};

/* What can be copied to another thread. */
struct health_view {
	struct health_step steps[HEALTH_LAYER_COUNT];
	struct health_move move;         /* the last one */
	struct health_moment reached_at; /* what follows is from then */
	char reached[SOCKET_NAME_SIZE];  /* the address, or the way, of the last connection */
	struct health_moment secured_at;
	char tls_version[16];
	char tls_cipher[64];
	char certificate_names[TLS_CERTIFICATE_NAMES_SIZE];
	char certificate_issuer[TLS_CERTIFICATE_NAMES_SIZE];
	int64_t certificate_expires; /* seconds since 1970; 0: not known */
};

struct health {
	struct list link;              /* in the worker's book */
	struct stats *stats;           /* one reference; its name is ours */
	struct step_observer observer; /* tells us */
	struct health_view view;
};

/* A worker's, by name. */
struct health_book {
	struct list all;
};

void health_book_init(struct health_book *book);
void health_book_done(struct health_book *book);

/* Finds the one with the name of `stats`, or makes it, with a reference of its own. Borrowed
 * until the book is done; NULL: no memory. */
struct health *health_book_get(struct health_book *book, struct stats *stats);

/* What an observer would be told: that a layer went well, or not. */
void health_pass(struct health *health, enum health_layer layer);
void health_fail(struct health *health, enum health_layer layer, const struct err *err);

/* Tunnels leave the server at `from`, and then the first one comes to another. Both are names for
 * people. */
void health_note_move(struct health *health, const char *from);
bool health_expects_arrival(const struct health *health);
void health_note_arrival(struct health *health, const char *to);

/* A step to the bastion that the service goes through. */
void health_observe_bastion(struct health *health, const struct step *step);

/* Adds what another worker has seen: for each layer, what is newer. */
void health_merge(struct health_view *into, const struct health_view *other);

/* Static: "name", "bastion", "connect", "tls", "redis". */
const char *health_layer_name(enum health_layer layer);

#endif
