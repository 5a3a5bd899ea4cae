#include "control/http_client.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/text.h"
#include "tunnel/socket_setup.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 16384, MAX_REPLY = 16 * 1024 * 1024 };

/* Waits until the socket is ready, or time is up. */
static bool
wait_for(int fd, short events, uint64_t until_us, struct err *err)
{
	struct pollfd item = {.fd = fd, .events = events};
	uint64_t now_us = clock_now_us();
	int left_ms = until_us > now_us ? (int)((until_us - now_us) / 1000) + 1 : 0;
	int ready;

	do
		ready = poll(&item, 1, left_ms);
	while (ready < 0 && errno == EINTR);
	if (ready > 0)
		return true;
	(void)err_set(err, "the daemon does not answer");
	return err_mark(err, ERR_TIMEOUT);
}

static int
open_socket(const char *path, struct err *err)
{
	struct sockaddr_storage address;
	socklen_t length;
	int fd;

	if (!socket_unix_address(path, &address, &length, err))
		return -1;
	fd = compat_socket(AF_UNIX);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, length) == 0)
		return fd;
	int error = errno;
	if (fd >= 0)
		(void)close(fd);
	if (error == ENOENT || error == ECONNREFUSED) {
		(void)err_set(err, "no daemon listens on '%s': is it running, and with this file?",
			      path);
		(void)err_mark(err, ERR_REFUSED);
	} else {
		(void)err_set_errno(err, error, "cannot reach the daemon on '%s'", path);
	}
	return -1;
}

static bool
send_request(int fd, const char *method, const char *path, uint64_t until_us, struct err *err)
{
	char request[512];
	int length = snprintf(request, sizeof request,
			      "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
			      "Connection: close\r\n\r\n",
			      method, path);
	size_t sent = 0;

	if (length < 0 || (size_t)length >= sizeof request)
		return err_set(err, "the request is too long");
	while (sent < (size_t)length) {
		if (!wait_for(fd, POLLOUT, until_us, err))
			return false;
		ssize_t count = send(fd, request + sent, (size_t)length - sent, MSG_NOSIGNAL);
		if (count < 0 && errno != EAGAIN && errno != EINTR)
			return err_set_errno(err, errno, "the daemon hung up");
		sent += count > 0 ? (size_t)count : 0;
	}
	return true;
}

/* Makes room for READ_SIZE bytes more and an end. Doubled, so that a long answer is not copied for
 * each piece of it. */
static bool
make_room(char **reply, size_t length, size_t *capacity, struct err *err)
{
	size_t wanted = 2 * *capacity + READ_SIZE + 1;

	if (length > MAX_REPLY)
		return err_set(err, "the answer is too long");
	if (*capacity - length > READ_SIZE)
		return true;
	char *grown = realloc(*reply, wanted);
	if (grown == NULL) {
		(void)err_set(err, "out of memory");
		return false;
	}
	*reply = grown;
	*capacity = wanted;
	return true;
}

/* To the end of file. The caller owns `*ret_reply`, also on failure. */
static bool
read_reply(int fd, uint64_t until_us, char **ret_reply, size_t *ret_length, struct err *err)
{
	size_t capacity = 0;
	size_t length = 0;

	for (;;) {
		if (!make_room(ret_reply, length, &capacity, err) ||
		    !wait_for(fd, POLLIN, until_us, err))
			return false;
		ssize_t count = read(fd, *ret_reply + length, READ_SIZE);
		if (count < 0 && errno != EAGAIN && errno != EINTR)
			return err_set_errno(err, errno, "the daemon hung up");
		if (count == 0)
			break;
		length += count > 0 ? (size_t)count : 0;
	}
	(*ret_reply)[length] = '\0';
	*ret_length = length;
	return true;
}

/* The value of a header in the head that ends at `end`; -1: there is none. -2: it is no number. */
static long
find_length(const char *head, const char *end)
{
	static const char name[] = "\r\nContent-Length:";
	long value;

	for (const char *at = head; (at = strstr(at, "\r\n")) != NULL && at < end; at += 2) {
		char text[24];
		if (strncasecmp(at, name, sizeof name - 1) != 0)
			continue;
		at += sizeof name - 1;
		at += strspn(at, " \t");
		size_t size = strcspn(at, " \t\r");
		if (size >= sizeof text)
			return -2;
		memcpy(text, at, size);
		text[size] = '\0';
		return text_to_long(text, 0, MAX_REPLY, &value) ? value : -2;
	}
	return -1;
}

bool
http_client_parse(const char *reply, size_t length, int *ret_status, size_t *ret_body,
		  struct err *err)
{
	const char *end = strstr(reply, "\r\n\r\n");
	char digits[4] = "";
	long status = 0;

	if (length == 0)
		return err_set(err, "the daemon hung up without an answer");
	if (length < 12 || strncmp(reply, "HTTP/1.", 7) != 0 || reply[8] != ' ' || end == NULL)
		return err_set(err, "what answers on the control socket is no cachetunnel");
	memcpy(digits, reply + 9, 3);
	if (!text_to_long(digits, 100, 599, &status))
		return err_set(err, "what answers on the control socket is no cachetunnel");
	*ret_body = (size_t)(end - reply) + 4;
	long promised = find_length(reply, end);
	if (promised == -2 || (promised >= 0 && length - *ret_body != (size_t)promised))
		return err_set(err, "the answer is incomplete");
	*ret_status = (int)status;
	return true;
}

bool
http_client_ask(const char *socket_path, const char *method, const char *path, int patience_s,
		struct http_answer *ret_answer, struct err *err)
{
	uint64_t until_us = clock_now_us() + (uint64_t)patience_s * 1000000;
	char *reply = NULL;
	size_t length = 0;
	size_t body = 0;
	int fd = open_socket(socket_path, err);

	if (fd < 0)
		return false;
	bool is_read = send_request(fd, method, path, until_us, err) &&
		       read_reply(fd, until_us, &reply, &length, err) && reply != NULL &&
		       http_client_parse(reply, length, &ret_answer->status, &body, err);
	(void)close(fd);
	if (!is_read) {
		free(reply);
		return false;
	}
	memmove(reply, reply + body, length - body + 1);
	ret_answer->body = reply;
	ret_answer->length = length - body;
	return true;
}

void
http_answer_done(struct http_answer *answer)
{
	free(answer->body);
	*answer = (struct http_answer){0};
}
