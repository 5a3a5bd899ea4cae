#ifndef CACHETUNNEL_TUNNEL_LISTENER_H
#define CACHETUNNEL_TUNNEL_LISTENER_H

#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * A service's accepting sockets: every address of every `accept`. Opened at start, before
 * privileges are dropped, or by a reload; started later, in the main thread's loop. It decides
 * nothing about a client but whether there is a descriptor for it.
 */

struct activation;
struct event_base;
struct listener;
struct setup_service;

struct listeners {
	struct listener **items;
	size_t count;
};

/* A client is there: `fd` is taken by the callee. */
typedef void listener_client_cb(void *arg, const struct service *service, int fd,
				const struct sockaddr_storage *peer, socklen_t peer_length);

/* Whether one more client may be accepted now; while not, accepting pauses. */
typedef bool listener_room_cb(void *arg);

/* Binds and listens, but for addresses that one of `before` (borrowed until the take-over; NULL:
 * none) listens on: there the same socket goes on. And not at all where `activation` (NULL: none)
 * has sockets for the service: those are it. `service` is borrowed. Returns owned; NULL with the
 * errors in `report`, and then nothing has changed for `before`. */
struct listener *listener_open(const struct setup_service *service, const struct listeners *before,
			       const struct activation *activation, struct report *report);

/* Starts accepting in `base` (borrowed). */
bool listener_start(struct listener *listener, struct event_base *base,
		    listener_client_cb *on_client, listener_room_cb *has_room,
		    void *arg) ATTR_MUST_CHECK;

/* What it shares with those before becomes its own: they are closed next. */
void listener_take_over(struct listener *listener);

/* Whether it accepts clients, and if not, why. */
struct listener_state {
	bool is_paused;
	int64_t paused_ms;      /* the last pause began, since 1970; 0: none so far */
	char pause_reason[128]; /* of that */
};
const struct listener_state *listener_get_state(const struct listener *listener);

/* Stops accepting, closes, and removes unix sockets. NULL is fine. */
void listener_close(struct listener *listener);

#endif
