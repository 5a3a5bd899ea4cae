#ifndef CACHETUNNEL_TESTS_HTTP_TALK_H
#define CACHETUNNEL_TESTS_HTTP_TALK_H

#include <stddef.h>

/*
 * One connection to an HTTP server (control/http_server.h) of its own: what it understood, and what
 * it replied, however the bytes of the client were cut. For unit tests and the fuzzer.
 */

enum { HTTP_TALK_SIZE = 16384 };

/* Sends `first` bytes, and the rest in pieces of `piece`; the server reads each before the next.
 * `out` (HTTP_TALK_SIZE bytes) gets a line for a request that was understood (its method, its path,
 * the value of `verbose` after '?', and its Accept, each but the first in brackets), then the reply
 * without its headers: its first line and its body. Aborts when the server breaks its contract. */
void http_talk(const void *data, size_t size, size_t first, size_t piece, char *out);

#endif
