#include "http_talk.h"

#include "control/http_server.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Turns of the loop in which all that is there is read, answered and closed. */
enum { TURNS = 6 };

struct talk {
	struct event_base *base;
	struct http_server *server;
	int client;
	unsigned requests;
	char seen[HTTP_TALK_SIZE / 2];
	char reply[HTTP_TALK_SIZE / 2];
	size_t reply_length;
};

static void
expect(bool is_true)
{
	if (!is_true)
		abort();
}

static const char *
or_none(const char *text)
{
	return text != NULL ? text : "none";
}

static void
on_request(void *arg, struct http_exchange *exchange)
{
	struct talk *talk = arg;

	expect(talk->requests++ == 0); /* each connection serves one */
	(void)snprintf(talk->seen, sizeof talk->seen, "%s [%s] [%s] [%s]\n",
		       http_is_post(exchange) ? "POST" : "GET", http_path(exchange),
		       or_none(http_argument(exchange, "verbose")),
		       or_none(http_header(exchange, "Accept")));
	http_reply_text(exchange, 200, "understood");
}

/* The server listens on an address that the kernel chooses among those without a file. */
static void
begin(struct talk *talk)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t length = sizeof address.sun_family;
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	expect(listener >= 0 && bind(listener, (struct sockaddr *)&address, length) == 0 &&
	       listen(listener, 1) == 0 && fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
	length = sizeof address;
	expect(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
	talk->client = socket(AF_UNIX, SOCK_STREAM, 0);
	expect(talk->client >= 0 &&
	       connect(talk->client, (struct sockaddr *)&address, length) == 0 &&
	       fcntl(talk->client, F_SETFL, O_NONBLOCK) == 0);
	talk->base = event_base_new();
	talk->server = http_server_start(&(struct http_server_settings){
		.base = talk->base, .fd = listener, .on_request = on_request, .arg = talk});
	expect(talk->server != NULL);
}

static void
run(struct talk *talk)
{
	for (int turn = 0; turn < TURNS; turn++)
		expect(event_base_loop(talk->base, EVLOOP_NONBLOCK) >= 0);
}

static void
send_in_pieces(struct talk *talk, const char *data, size_t size, size_t first, size_t piece)
{
	size_t next = first;

	for (size_t at = 0; at < size; next = piece) {
		if (next > size - at)
			next = size - at;
		ssize_t sent = send(talk->client, data + at, next, MSG_NOSIGNAL);
		if (sent < 0)
			return; /* the server has heard enough, or its buffer is full of what it ignores */
		at += (size_t)sent;
		run(talk);
	}
}

static void
receive(struct talk *talk)
{
	for (;;) {
		ssize_t got = recv(talk->client, talk->reply + talk->reply_length,
				   sizeof talk->reply - 1 - talk->reply_length, 0);
		if (got <= 0)
			break;
		talk->reply_length += (size_t)got;
	}
	talk->reply[talk->reply_length] = '\0';
}

static void
end(struct talk *talk)
{
	(void)close(talk->client);
	http_server_close(talk->server);
	run(talk); /* libevent puts some of its clean-up off */
	event_base_free(talk->base);
}

void
http_talk(const void *data, size_t size, size_t first, size_t piece, char *out)
{
	struct talk talk = {0};

	begin(&talk);
	send_in_pieces(&talk, data, size, first, piece);
	run(&talk);
	receive(&talk);
	end(&talk);
	const char *body = strstr(talk.reply, "\r\n\r\n");
	(void)snprintf(out, HTTP_TALK_SIZE, "%s%.*s\n%s", talk.seen, (int)strcspn(talk.reply, "\r"),
		       talk.reply, body != NULL ? body + 4 : "");
}
