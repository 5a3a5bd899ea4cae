#ifndef CACHETUNNEL_TESTS_SCRIPTED_STREAM_H
#define CACHETUNNEL_TESTS_SCRIPTED_STREAM_H

#include "stream/stream.h"

#include <stddef.h>

/*
 * A stream whose behaviour is written down beforehand, for tests of what uses streams. Reads and
 * writes follow two scripts, one word at a time:
 *
 *   reads:  "data:TEXT"     TEXT is read (a part of it, if little room is offered)
 *           "more:TEXT"     the same, and stream_has_pending() says that more is inside
 *           "again"         nothing now; the next word counts at the next readiness
 *           "eof" "reset" "failed"
 *   writes: "take:N"        the next write takes N bytes at most
 *           "again"         the next write takes nothing
 *           "full"          no write takes anything any more
 *           "reset" "failed"
 *
 * After the last word, reads say AGAIN for ever, and writes take everything. TEXT has no blanks.
 */

struct scripted_stream;

struct event_base;

/* Scripts are borrowed. Returns owned; stream_free() frees it. */
struct stream *scripted_stream_new(struct event_base *base, const char *reads, const char *writes);

/* What was written so far, NUL-terminated; borrowed. */
const char *scripted_stream_written(const struct stream *stream);

/* How many bytes had been written when the stream was shut down; -1: it was not. */
long scripted_stream_shutdown_after(const struct stream *stream);

/* What the holder waits for now. */
unsigned scripted_stream_interest(const struct stream *stream);

#endif
