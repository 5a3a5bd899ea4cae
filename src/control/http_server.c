#include "control/http_server.h"

#include "base/attributes.h"
#include "base/list.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	MAX_CONNECTIONS = 64, /* that ask, or take their reply */
	MAX_EXCHANGES = 64,   /* that wait for an answer, besides those */
	ACCEPTS_A_TURN = 16,  /* a storm here must not hold up clients of the tunnels */
	/* For a request, from accept to its end, and again for the reply, from its beginning to its
	 * end. What comes between them takes the holder's time. */
	DEADLINE_S = 10,
	MAX_HEADER_BYTES = 8192,
	MAX_BODY_BYTES = 1024, /* nobody needs any */
};

/* evhttp frees a connection when it likes and tells nobody. So we hold a reference of what it reads
 * with: once it has let go, nothing is called back from there any more. */
struct http_connection {
	struct list link; /* in server->connections, the oldest first; not while it waits */
	struct http_server *server;
	struct bufferevent *io; /* one reference */
	struct event deadline;  /* not while it waits for an answer */
};

struct http_server {
	struct http_server_settings settings;
	struct evhttp *http;             /* owned */
	struct evconnlistener *listener; /* owned by `http` */
	struct list connections;
	struct list exchanges;
	unsigned connection_count;
	unsigned exchange_count;
	unsigned accepted;          /* in this turn */
	void (*on_gone)(void *arg); /* for the one who asked last */
	void *on_gone_arg;
	struct event next_turn;
};

struct http_exchange {
	struct list link; /* in server->exchanges */
	struct http_server *server;
	struct http_connection *connection; /* owned; NULL: nobody counts it */
	struct evhttp_request *request;     /* libevent's; ours to answer */
	struct evkeyvalq arguments;         /* owned; zero bytes are an empty one */
};

static const struct timeval deadline_span = {.tv_sec = DEADLINE_S};

static bool
is_alive(const struct http_connection *connection)
{
	void *arg = NULL;

	bufferevent_getcb(connection->io, NULL, NULL, NULL, &arg);
	return arg != NULL;
}

static void
forget(struct http_connection *connection)
{
	connection->server->connection_count--;
	list_remove(&connection->link);
	(void)event_del(&connection->deadline);
	(void)bufferevent_decref(connection->io);
	free(connection);
}

/* evhttp notices, as if the client had left, and frees what it has. */
static void
cut_off(struct http_connection *connection)
{
	evutil_socket_t fd = is_alive(connection) ? bufferevent_getfd(connection->io) : -1;

	if (fd >= 0)
		(void)shutdown(fd, SHUT_RDWR);
	forget(connection);
}

static void
on_deadline(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	cut_off(arg);
}

/* Forgets what is over, and if that is not enough, ends the oldest. */
static void
make_room(struct http_server *server)
{
	struct list *next;

	for (struct list *link = server->connections.next; link != &server->connections;
	     link = next) {
		struct http_connection *connection = LIST_ITEM(link, struct http_connection, link);
		next = link->next;
		if (!is_alive(connection))
			forget(connection);
	}
	while (server->connection_count >= MAX_CONNECTIONS)
		cut_off(LIST_ITEM(server->connections.next, struct http_connection, link));
}

/* The rest of the turn belongs to others; whoever waits to be accepted can wait a little. */
static void
count_accept(struct http_server *server)
{
	if (++server->accepted < ACCEPTS_A_TURN)
		return;
	(void)evconnlistener_disable(server->listener);
	event_active(&server->next_turn, EV_TIMEOUT, 0);
}

static void
on_next_turn(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct http_server *server = arg;

	server->accepted = 0;
	(void)evconnlistener_enable(server->listener);
}

/* evhttp asks for something to read a new connection with. Without memory, NULL has it make its
 * own, which nobody counts, but which has evhttp's own time-out. */
static struct bufferevent *
on_new_connection(struct event_base *base, void *arg)
{
	struct http_server *server = arg;
	struct http_connection *connection = calloc(1, sizeof *connection);

	count_accept(server);
	make_room(server);
	if (connection == NULL)
		return NULL;
	connection->server = server;
	/* evhttp would close the descriptor while it is still registered here, and by the time it is
	 * let go of, the number may be that of a worker's client. */
	connection->io = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (connection->io == NULL) {
		free(connection);
		return NULL;
	}
	bufferevent_incref(connection->io);
	server->connection_count++;
	list_append(&server->connections, &connection->link);
	(void)event_assign(&connection->deadline, base, -1, 0, on_deadline, connection);
	(void)event_add(&connection->deadline, &deadline_span);
	return connection->io;
}

/* "localhost:9900", "127.0.0.1", "[::1]:9900": names that no web page elsewhere can have. */
static bool
is_loopback(const char *host, size_t length)
{
	char name[64];
	struct in_addr v4;
	struct in6_addr v6;

	if (length == 0 || length >= sizeof name)
		return false;
	memcpy(name, host, length);
	name[length] = '\0';
	if (text_equal_nocase(name, "localhost"))
		return true;
	if (inet_pton(AF_INET, name, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (name[0] != '[' || name[length - 1] != ']')
		return false;
	name[length - 1] = '\0';
	return inet_pton(AF_INET6, name + 1, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool
is_loopback_authority(const char *authority)
{
	size_t length = authority[0] == '[' ? strcspn(authority, "]") + 1 : strcspn(authority, ":");
	size_t all = strlen(authority);

	if (length > all || (length < all && authority[length] != ':'))
		return false;
	return is_loopback(authority, length) &&
	       (length == all || strspn(authority + length + 1, "0123456789") == all - length - 1);
}

/* A page of some other site, in a browser on this machine, must learn nothing: neither by asking
 * across sites, nor by a name of its own that leads here (DNS rebinding). */
static bool
is_from_elsewhere(struct evhttp_request *request)
{
	const struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
	const char *host = evhttp_find_header(headers, "Host");
	const char *origin = evhttp_find_header(headers, "Origin");
	const char *named = evhttp_uri_get_host(evhttp_request_get_evhttp_uri(request));

	if (host != NULL && !is_loopback_authority(host))
		return true;
	if (named != NULL && !is_loopback(named, strlen(named)))
		return true;
	return origin != NULL &&
	       (strncmp(origin, "http://", 7) != 0 || !is_loopback_authority(origin + 7));
}

static struct http_connection *
find_connection(const struct http_server *server, struct evhttp_request *request)
{
	struct evhttp_connection *theirs = evhttp_request_get_connection(request);
	const struct bufferevent *io = theirs != NULL ? evhttp_connection_get_bufferevent(theirs)
						      : NULL;

	for (struct list *link = server->connections.next; link != &server->connections;
	     link = link->next) {
		struct http_connection *connection = LIST_ITEM(link, struct http_connection, link);
		if (connection->io == io)
			return connection;
	}
	return NULL;
}

/* evhttp does not read meanwhile, so that it would not notice if we cut it off. */
static void
begin_waiting(struct http_exchange *exchange)
{
	struct http_server *server = exchange->server;
	struct http_connection *connection = find_connection(server, exchange->request);

	exchange->connection = connection;
	if (connection == NULL)
		return;
	(void)event_del(&connection->deadline);
	list_remove(&connection->link);
	server->connection_count--;
}

static void
end_waiting(struct http_exchange *exchange)
{
	struct http_server *server = exchange->server;
	struct http_connection *connection = exchange->connection;

	exchange->connection = NULL;
	if (connection == NULL)
		return;
	list_append(&server->connections, &connection->link);
	server->connection_count++;
	(void)event_add(&connection->deadline, &deadline_span);
}

static void
end_exchange(struct http_exchange *exchange)
{
	list_remove(&exchange->link);
	exchange->server->exchange_count--;
	evhttp_clear_headers(&exchange->arguments);
	free(exchange);
}

static void
on_request(struct evhttp_request *request, void *arg)
{
	struct http_server *server = arg;
	struct http_exchange *exchange = calloc(1, sizeof *exchange);
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));

	if (exchange == NULL) {
		evhttp_send_reply(request, HTTP_INTERNAL, NULL, NULL);
		return;
	}
	exchange->server = server;
	exchange->request = request;
	list_append(&server->exchanges, &exchange->link);
	server->exchange_count++;
	begin_waiting(exchange);
	if (server->exchange_count > MAX_EXCHANGES) {
		http_reply_text(exchange, 503, "too many wait for answers already");
		return;
	}
	if (!server->settings.is_local && is_from_elsewhere(request)) {
		http_reply_text(exchange, 403,
				"this is for programs on this machine that call it localhost");
		return;
	}
	if (query != NULL && evhttp_parse_query_str(query, &exchange->arguments) != 0) {
		http_reply_text(exchange, 400, "what stands after '?' cannot be understood");
		return;
	}
	server->settings.on_request(server->settings.arg, exchange);
}

struct http_server *
http_server_start(const struct http_server_settings *settings)
{
	struct http_server *server = calloc(1, sizeof *server);

	if (server == NULL) {
		(void)close(settings->fd);
		return NULL;
	}
	server->settings = *settings;
	list_init(&server->connections);
	list_init(&server->exchanges);
	(void)event_assign(&server->next_turn, settings->base, -1, 0, on_next_turn, server);
	server->http = evhttp_new(settings->base);
	server->listener = evconnlistener_new(settings->base, NULL, NULL,
					      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0,
					      settings->fd);
	if (server->listener == NULL)
		(void)close(settings->fd);
	if (server->http == NULL || server->listener == NULL ||
	    evhttp_bind_listener(server->http, server->listener) == NULL) {
		if (server->listener != NULL)
			evconnlistener_free(server->listener);
		if (server->http != NULL)
			evhttp_free(server->http);
		free(server);
		return NULL;
	}
	evhttp_set_bevcb(server->http, on_new_connection, server);
	evhttp_set_gencb(server->http, on_request, server);
	evhttp_set_timeout(server->http, DEADLINE_S);
	evhttp_set_max_headers_size(server->http, MAX_HEADER_BYTES);
	evhttp_set_max_body_size(server->http, MAX_BODY_BYTES);
	evhttp_set_allowed_methods(server->http,
				   EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
	return server;
}

/* What the loop would have written; it has ended, or will not come to it any more. */
static void
write_now(const struct http_connection *connection)
{
	evutil_socket_t fd = is_alive(connection) ? bufferevent_getfd(connection->io) : -1;
	struct evbuffer *output = bufferevent_get_output(connection->io);

	if (fd < 0 || evbuffer_get_length(output) == 0)
		return;
	(void)evbuffer_unfreeze(output, 1); /* bufferevents keep others from it */
	(void)evbuffer_write(output, fd);
}

void
http_server_close(struct http_server *server)
{
	if (server == NULL)
		return;
	server->on_gone = NULL;
	while (!list_is_empty(&server->exchanges))
		http_reply_text(LIST_ITEM(server->exchanges.next, struct http_exchange, link), 503,
				"cachetunnel stops");
	for (struct list *link = server->connections.next; link != &server->connections;
	     link = link->next)
		write_now(LIST_ITEM(link, struct http_connection, link));
	evhttp_free(server->http);
	while (!list_is_empty(&server->connections))
		forget(LIST_ITEM(server->connections.next, struct http_connection, link));
	(void)event_del(&server->next_turn);
	free(server);
}

bool
http_is_post(const struct http_exchange *exchange)
{
	return evhttp_request_get_command(exchange->request) == EVHTTP_REQ_POST;
}

bool
http_is_local(const struct http_exchange *exchange)
{
	return exchange->server->settings.is_local;
}

const char *
http_path(const struct http_exchange *exchange)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(exchange->request));

	return path != NULL && path[0] != '\0' ? path : "/";
}

const char *
http_header(const struct http_exchange *exchange, const char *name)
{
	return evhttp_find_header(evhttp_request_get_input_headers(exchange->request), name);
}

const char *
http_argument(const struct http_exchange *exchange, const char *name)
{
	return evhttp_find_header(&exchange->arguments, name);
}

static void
on_gone(struct evhttp_connection *theirs ATTR_UNUSED, void *arg)
{
	struct http_server *server = arg;

	if (server->on_gone != NULL)
		server->on_gone(server->on_gone_arg);
}

void
http_when_gone(struct http_exchange *exchange, void (*callback)(void *arg), void *arg)
{
	struct evhttp_connection *theirs = evhttp_request_get_connection(exchange->request);
	struct http_server *server = exchange->server;

	server->on_gone = callback;
	server->on_gone_arg = arg;
	if (theirs != NULL)
		evhttp_connection_set_closecb(theirs, on_gone, server);
	else
		callback(arg); /* it is gone already */
}

static const char *
reason_of(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 202:
		return "Accepted";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 409:
		return "Conflict";
	case 503:
		return "Service Unavailable";
	default:
		return "Internal Server Error";
	}
}

void
http_reply(struct http_exchange *exchange, const struct http_reply *reply, struct evbuffer *body)
{
	struct evhttp_request *request = exchange->request;
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	const struct {
		const char *name;
		const char *value;
	} all[] = {
		{"Content-Type", reply->type},
		{"Content-Security-Policy", reply->policy != NULL
						    ? reply->policy
						    : "default-src 'none'; frame-ancestors 'none'"},
		{"Cache-Control", "no-store"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Referrer-Policy", "no-referrer"},
		{"X-Content-Type-Options", "nosniff"},
		{"X-Frame-Options", "DENY"},
		{"Allow", reply->allow},
		{"Connection", "close"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(all); i++) {
		if (all[i].value != NULL)
			(void)evhttp_add_header(headers, all[i].name, all[i].value);
	}
	end_waiting(exchange);
	/* evhttp leaves the body out for HEAD by itself. */
	evhttp_send_reply(request, reply->status, reason_of(reply->status), body);
	end_exchange(exchange);
}

void
http_reply_text(struct http_exchange *exchange, int status, const char *text)
{
	const struct http_reply reply = {.status = status, .type = "text/plain; charset=utf-8"};
	struct evbuffer *body = evbuffer_new();

	if (body != NULL)
		(void)evbuffer_add_printf(body, "%s\n", text);
	http_reply(exchange, &reply, body);
	if (body != NULL)
		evbuffer_free(body);
}
