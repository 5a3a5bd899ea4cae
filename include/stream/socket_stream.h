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

/* From now on, acknowledges at once whatever is read. For a peer that holds back small packets
 * until the last one is acknowledged (Nagle), as sshd does for forwarded connections: without
 * this, many an answer costs 40 ms. */
void socket_stream_acknowledge_at_once(struct stream *stream);

#endif
