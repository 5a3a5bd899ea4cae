#ifndef CACHETUNNEL_CONTROL_HTTP_CLIENT_H
#define CACHETUNNEL_CONTROL_HTTP_CLIENT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* One request to a daemon's control socket, for commands, which wait for the answer. */

struct http_answer {
	int status;
	char *body; /* owned; NUL-terminated */
	size_t length;
};

/* Sends `method` and `path` to the socket, and reads the answer, for `patience_s` seconds at most in
 * all. False with `err`, whose kind is ERR_REFUSED if nobody listens there, and then nothing is
 * owned. */
bool http_client_ask(const char *socket_path, const char *method, const char *path, int patience_s,
		     struct http_answer *ret_answer, struct err *err) ATTR_MUST_CHECK;

void http_answer_done(struct http_answer *answer);

/* Takes a whole reply (`length` bytes, NUL-terminated) apart: for http_client_ask() and its tests.
 * Where there is a Content-Length, the body must be as long. Sets the status and where the body
 * begins. */
bool http_client_parse(const char *reply, size_t length, int *ret_status, size_t *ret_body,
		       struct err *err) ATTR_MUST_CHECK;

#endif
