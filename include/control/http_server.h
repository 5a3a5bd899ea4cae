#ifndef CACHETUNNEL_CONTROL_HTTP_SERVER_H
#define CACHETUNNEL_CONTROL_HTTP_SERVER_H

#include <stdbool.h>

/*
 * Small HTTP/1.1 servers, by libevent's evhttp, which nobody else here sees. They are made for few
 * and short requests, and for clients that mean no good: each connection serves one request, has a
 * deadline for it and one for taking the reply, and when there are too many of those, the oldest
 * goes. Requests that wait for an answer are few as well: one more is told at once that it cannot
 * be answered. How long an answer takes is the holder's to bound.
 *
 * What is asked and answered is the holder's business. All in the main thread.
 */

struct evbuffer;
struct event_base;
struct http_exchange;
struct http_server;

/* A request is there. It must be answered by http_reply(), now or later, exactly once. */
typedef void http_request_cb(void *arg, struct http_exchange *exchange);

struct http_server_settings {
	struct event_base *base; /* borrowed */
	int fd;                  /* listening and non-blocking; taken */
	bool is_local;           /* only who may open the socket's file can come */
	http_request_cb *on_request;
	void *arg;
};

/* Returns owned; NULL: no memory, and the descriptor is closed. */
struct http_server *http_server_start(const struct http_server_settings *settings);

/* Answers what is open with 503, writes what the sockets take at once, and closes. The holder must
 * have forgotten its exchanges. NULL is fine. */
void http_server_close(struct http_server *server);

/* The request. Texts are borrowed until the reply. */
bool http_is_post(const struct http_exchange *exchange);
bool http_is_local(const struct http_exchange *exchange);
const char *http_path(const struct http_exchange *exchange); /* without what is asked for */
const char *http_header(const struct http_exchange *exchange, const char *name); /* or NULL */

/* The value of `name` in `name=value` after '?'; NULL where it is not. */
const char *http_argument(const struct http_exchange *exchange, const char *name);

/* Has `callback` called once the reply is sent, or the client gone; not if the server closes before.
 * Before the reply. */
void http_when_gone(struct http_exchange *exchange, void (*callback)(void *arg), void *arg);

/* What every reply gets besides: nothing is stored, framed, guessed or sent elsewhere. */
struct http_reply {
	int status;
	const char *type;   /* Content-Type */
	const char *policy; /* Content-Security-Policy; NULL: nothing at all is allowed */
	const char *allow;  /* the method that would do; NULL: not the question */
};

/* Ends the exchange. `body` is borrowed and emptied. It is no error if the client left. */
void http_reply(struct http_exchange *exchange, const struct http_reply *reply,
		struct evbuffer *body);

/* The same with a line of text. */
void http_reply_text(struct http_exchange *exchange, int status, const char *text);

#endif
