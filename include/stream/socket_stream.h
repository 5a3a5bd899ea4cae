#ifndef CACHETUNNEL_STREAM_SOCKET_STREAM_H
#define CACHETUNNEL_STREAM_SOCKET_STREAM_H

#include "stream/stream.h"

struct event_base;

/*
 * The stream of a connected socket, TCP or unix. It does not connect or accept: it takes a
 * descriptor that somebody else opened.
 */

/* Takes `fd` (non-blocking). `base` is borrowed and must outlive the stream. Returns owned, or
 * NULL when memory ran out; `fd` is then closed too. */
struct stream *socket_stream_new(struct event_base *base, int fd);

#endif
