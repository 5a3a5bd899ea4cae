/*
 * Loads that redis-benchmark does not have, against plain Redis on a port of loopback:
 *
 *   load requests PORT CLIENTS COUNT       GET of the key "small", CLIENTS at once
 *   load connect  PORT CLIENTS COUNT [RATE] a new connection and a PING, CLIENTS at once; RATE
 *                                          begins so many a second instead, whatever comes back
 *   load fanout   PORT CLIENTS COUNT       COUNT messages, each to CLIENTS subscribers
 *   load idle     PORT CLIENTS 0           nothing at all
 *
 * It speaks with whoever started it: "ready" once every connection has had its first answer, so
 * that handshakes are not in the figures; a line tells it to begin; then a line of JSON with
 * requests, seconds and latencies in milliseconds; and it keeps its connections until its input
 * ends, so that their ends are not in the figures either.
 *
 * With LOAD_CA=FILE in the environment it speaks TLS itself, and verifies the name localhost.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_EVENTS = 256, PAYLOAD_SIZE = 64 };

/* One connection of ours, and what it waits for. */
struct client {
	int fd;            /* -1: none now */
	SSL *ssl;          /* NULL without TLS */
	size_t left;       /* bytes of the answer that have not come */
	double started_ms; /* when the request went out */
};

struct load {
	const char *name;
	in_port_t port;
	size_t clients;
	size_t count;
	double rate; /* connections to begin a second; 0: whenever one has ended */
	int epoll;
	SSL_CTX *tls; /* NULL without TLS */
	struct client *all;
	double *latencies_ms; /* one for each answer */
	size_t answers;
};

static const char ping[] = "*1\r\n$4\r\nPING\r\n";
static const char pong[] = "+PONG\r\n";
static const char get[] = "*2\r\n$3\r\nGET\r\n$5\r\nsmall\r\n";
static const char subscribe[] = "*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n";
static const char subscribed[] = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";

static void
die(const char *doing)
{
	(void)fprintf(stderr, "load: %s: %s\n", doing, strerror(errno));
	exit(1);
}

static double
now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void *
allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (memory == NULL)
		die("memory");
	return memory;
}

/* A client that is its own tunnel. It resumes no session, as most clients do not. */
static SSL_CTX *
make_tls(const char *ca_file)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (tls == NULL || SSL_CTX_load_verify_file(tls, ca_file) != 1)
		die("TLS");
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	return tls;
}

static SSL *
secure(SSL_CTX *tls, int fd)
{
	SSL *ssl = SSL_new(tls);

	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_set1_host(ssl, "localhost") != 1 ||
	    SSL_connect(ssl) != 1)
		die("the handshake");
	return ssl;
}

static void
open_connection(const struct load *load, struct client *client)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = load->port,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int on = 1;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
		die("connecting");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	client->fd = fd;
	client->ssl = load->tls != NULL ? secure(load->tls, fd) : NULL;
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
}

static void
close_connection(struct client *client)
{
	SSL_free(client->ssl);
	client->ssl = NULL;
	(void)close(client->fd);
	client->fd = -1;
}

/* What we say is short, and always fits. */
static void
send_all(const struct client *client, const char *bytes, size_t length)
{
	ssize_t sent = client->ssl != NULL ? SSL_write(client->ssl, bytes, (int)length)
					   : send(client->fd, bytes, length, MSG_NOSIGNAL);

	if (sent != (ssize_t)length)
		die("sending");
}

/* Reads some of the answer that is due. False when there is nothing now. */
static bool
receive_some(struct client *client)
{
	char bytes[4096];
	size_t room = client->left < sizeof bytes ? client->left : sizeof bytes;
	ssize_t count = client->ssl != NULL ? SSL_read(client->ssl, bytes, (int)room)
					    : recv(client->fd, bytes, room, 0);

	if (count > 0) {
		client->left -= (size_t)count;
		return true;
	}
	bool is_early = client->ssl != NULL
				? SSL_get_error(client->ssl, (int)count) == SSL_ERROR_WANT_READ
				: count < 0 && errno == EAGAIN;
	if (!is_early)
		die("an answer");
	return false;
}

/* Reads what is there; whether the answer is whole. */
static bool
has_answer(struct client *client)
{
	while (client->left > 0 && receive_some(client))
		continue;
	return client->left == 0;
}

/* Asks, and waits for an answer of just that length. */
static void
ask(struct client *client, const char *question, size_t answer_length)
{
	struct pollfd readable = {.fd = client->fd, .events = POLLIN};

	client->left = answer_length;
	send_all(client, question, strlen(question));
	while (!has_answer(client))
		(void)poll(&readable, 1, -1);
}

static void
watch(const struct load *load, struct client *client)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

	if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->fd, &event) != 0)
		die("epoll_ctl");
}

/* Opens all connections, each with one question answered. */
static void
open_all(struct load *load, const char *question, size_t answer_length)
{
	for (size_t i = 0; i < load->clients; i++) {
		open_connection(load, &load->all[i]);
		ask(&load->all[i], question, answer_length);
		watch(load, &load->all[i]);
	}
}

static void
wait_for_go(void)
{
	char line[16];

	(void)puts("ready");
	(void)fflush(stdout);
	if (fgets(line, sizeof line, stdin) == NULL)
		exit(0);
}

static void
note_answer(struct load *load, double started_ms)
{
	load->latencies_ms[load->answers++] = now_ms() - started_ms;
}

static int
wait_for_events(const struct load *load, struct epoll_event *events, int timeout_ms)
{
	int count = epoll_wait(load->epoll, events, MAX_EVENTS, timeout_ms);

	if (count < 0 && errno != EINTR)
		die("epoll_wait");
	return count > 0 ? count : 0;
}

/* --- requests ------------------------------------------------------------------------------- */

static void
request(struct client *client)
{
	client->left = strlen("$3\r\nxxx\r\n");
	client->started_ms = now_ms();
	send_all(client, get, sizeof get - 1);
}

static void
run_requests(struct load *load)
{
	struct epoll_event events[MAX_EVENTS];
	size_t begun = 0;

	for (; begun < load->clients && begun < load->count; begun++)
		request(&load->all[begun]);
	while (load->answers < load->count) {
		int count = wait_for_events(load, events, -1);
		for (int i = 0; i < count; i++) {
			struct client *client = events[i].data.ptr;
			if (!has_answer(client))
				continue;
			note_answer(load, client->started_ms);
			if (begun++ < load->count)
				request(client);
		}
	}
}

/* --- connect -------------------------------------------------------------------------------- */

static void
begin_connection(const struct load *load, struct client *client)
{
	client->started_ms = now_ms();
	client->left = sizeof pong - 1;
	open_connection(load, client);
	send_all(client, ping, sizeof ping - 1);
	watch(load, client);
}

static struct client *
find_idle(struct load *load)
{
	for (size_t i = 0; i < load->clients; i++) {
		if (load->all[i].fd < 0)
			return &load->all[i];
	}
	return NULL;
}

/* How long until the next connection is due, given that a client is there for it. */
static int
due_in_ms(const struct load *load, size_t begun, double start_ms)
{
	double due_ms = start_ms + (double)begun * 1e3 / load->rate;
	double rest_ms = due_ms - now_ms();

	return rest_ms > 0 ? (int)rest_ms + 1 : 0;
}

static void
run_connect(struct load *load)
{
	struct epoll_event events[MAX_EVENTS];
	double start_ms = now_ms();
	size_t begun = 0;

	while (load->answers < load->count) {
		struct client *idle;
		int timeout_ms = -1;
		while (begun < load->count && (idle = find_idle(load)) != NULL) {
			timeout_ms = load->rate > 0 ? due_in_ms(load, begun, start_ms) : 0;
			if (timeout_ms > 0)
				break;
			begin_connection(load, idle);
			begun++;
			timeout_ms = -1;
		}
		int count = wait_for_events(load, events, timeout_ms);
		for (int i = 0; i < count; i++) {
			struct client *client = events[i].data.ptr;
			if (!has_answer(client))
				continue;
			note_answer(load, client->started_ms);
			close_connection(client);
		}
	}
}

/* --- fanout --------------------------------------------------------------------------------- */

static void
run_fanout(struct load *load, struct client *publisher)
{
	struct epoll_event events[MAX_EVENTS];
	char publish[256];
	char message[256];
	char payload[PAYLOAD_SIZE + 1];
	char receivers[32];

	(void)memset(payload, 'x', PAYLOAD_SIZE);
	payload[PAYLOAD_SIZE] = '\0';
	(void)snprintf(publish, sizeof publish,
		       "*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$%d\r\n%s\r\n", PAYLOAD_SIZE, payload);
	(void)snprintf(message, sizeof message,
		       "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$%d\r\n%s\r\n", PAYLOAD_SIZE, payload);
	(void)snprintf(receivers, sizeof receivers, ":%zu\r\n", load->clients);

	for (size_t sent = 0; sent < load->count; sent++) {
		double started_ms = now_ms();
		size_t waiting = load->clients;
		for (size_t i = 0; i < load->clients; i++)
			load->all[i].left = strlen(message);
		ask(publisher, publish, strlen(receivers));
		while (waiting > 0) {
			int count = wait_for_events(load, events, -1);
			for (int i = 0; i < count; i++) {
				if (!has_answer(events[i].data.ptr))
					continue;
				note_answer(load, started_ms);
				waiting--;
			}
		}
	}
}

/* --- all ------------------------------------------------------------------------------------ */

static int
compare(const void *a, const void *b)
{
	double first = *(const double *)a;
	double second = *(const double *)b;

	return (first > second) - (first < second);
}

static double
percentile_ms(const struct load *load, double share)
{
	size_t index = (size_t)(share * (double)load->answers);

	return load->latencies_ms[index < load->answers ? index : load->answers - 1];
}

static void
print_result(struct load *load, double seconds)
{
	qsort(load->latencies_ms, load->answers, sizeof(double), compare);
	(void)printf("{\"requests\": %zu, \"seconds\": %.6f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, "
		     "\"p999_ms\": %.4f}\n",
		     load->answers, seconds, percentile_ms(load, 0.5), percentile_ms(load, 0.99),
		     percentile_ms(load, 0.999));
	(void)fflush(stdout);
}

static void
run(struct load *load)
{
	bool is_fanout = strcmp(load->name, "fanout") == 0;
	bool is_requests = strcmp(load->name, "requests") == 0;
	bool is_connect = strcmp(load->name, "connect") == 0;
	size_t answers = load->count * (is_fanout ? load->clients : 1);
	struct client publisher;

	load->latencies_ms = allocate(answers + 1, sizeof(double));
	if (is_fanout) {
		open_all(load, subscribe, sizeof subscribed - 1);
		open_connection(load, &publisher);
		ask(&publisher, ping, sizeof pong - 1);
	} else if (!is_connect) {
		open_all(load, ping, sizeof pong - 1);
	}
	wait_for_go();
	double start_ms = now_ms();
	if (is_fanout)
		run_fanout(load, &publisher);
	else if (is_requests)
		run_requests(load);
	else if (is_connect)
		run_connect(load);
	if (load->answers > 0)
		print_result(load, (now_ms() - start_ms) / 1e3);
	while (getchar() != EOF)
		continue;
}

int
main(int argc, char **argv)
{
	if (argc < 5) {
		(void)fprintf(stderr, "usage: load requests|connect|fanout|idle PORT CLIENTS COUNT "
				      "[RATE]\n");
		return 2;
	}
	struct load load = {
		.name = argv[1],
		.port = htons((in_port_t)strtoul(argv[2], NULL, 10)),
		.clients = strtoul(argv[3], NULL, 10),
		.count = strtoul(argv[4], NULL, 10),
		.rate = argc > 5 ? strtod(argv[5], NULL) : 0,
		.epoll = epoll_create1(0),
	};
	if (getenv("LOAD_CA") != NULL)
		load.tls = make_tls(getenv("LOAD_CA"));
	load.all = allocate(load.clients, sizeof *load.all);
	for (size_t i = 0; i < load.clients; i++)
		load.all[i].fd = -1;
	if (load.epoll < 0)
		die("epoll_create1");
	run(&load);
	return 0;
}
