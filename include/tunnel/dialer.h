#ifndef CACHETUNNEL_TUNNEL_DIALER_H
#define CACHETUNNEL_TUNNEL_DIALER_H

#include "base/log.h"
#include "stream/stream.h"
#include "tunnel/setup.h"
#include "tunnel/socket_setup.h"

#include <stdbool.h>

/*
 * Makes the server's stream of a tunnel: resolve, (hop,) connect, secure. Endpoints are tried,
 * those that are up first, until one connects and answers; a failure after that is final, because a
 * server that refuses TLS or has the wrong certificate is a matter for a person, not for the next
 * address.
 */

struct endpoints;
struct event_base;
struct session_pool;
struct step_observer;
struct spread;
struct tls_sessions;
struct watch;
struct dial;

struct dial_request {
	struct event_base *base; /* borrowed, as all here, until the dial is over */
	struct resolver *resolver;
	const struct setup_service *service;
	struct tls_sessions *sessions;        /* NULL: do not resume */
	struct session_pool *pool;            /* of the bastion to hop through; NULL: none */
	struct watch *const *watches;         /* of the endpoints: what they know to be demoted is
					       * left out; NULL: nothing is */
	bool takes_demoted;                   /* if nothing else is left: reading goes on */
	struct spread *spread;                /* of the service's addresses; NULL: take them in
					       * the order in which they come */
	bool is_anew;                         /* look up again, do not use what is known */
	struct endpoints *endpoints;          /* say which to try next, and are told how it went;
					       * NULL: as they are written */
	const struct address *only;           /* of the service's endpoints the only one to try;
					       * NULL: all of them, each once */
	const struct step_observer *observer; /* is told of each step; NULL: nobody */
	const struct log_scope *log;
};

struct dial_outcome {
	const struct setup_service *service; /* that was dialled; borrowed */
	struct stream *stream;               /* owned by whoever is told */
	const struct address *endpoint;      /* borrowed from the service */
	char name[SOCKET_NAME_SIZE];         /* the address that was reached */
	struct resolved_address address; /* the same; length 0: not known, as through a bastion */
	uint64_t chosen_us; /* when the address was, or the bastion was asked for one */
	bool is_tls;
	bool is_warm; /* it was ready before the client came */
};

/* The dial has ended. `outcome` is borrowed for the call, or NULL, and `err` says what failed.
 * The handle stays valid, for dial_free() later. Never called from inside dial_start(). */
typedef void dial_done_cb(void *arg, const struct dial_outcome *outcome, const struct err *err);

/* Returns a handle; NULL when memory ran out. */
struct dial *dial_start(const struct dial_request *request, dial_done_cb *on_done, void *arg);

/* Frees the dial, and cancels it if it has not ended: the callback will not come. Never from
 * inside the callback. NULL is fine. */
void dial_free(struct dial *dial);

#endif
