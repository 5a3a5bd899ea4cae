#ifndef CACHETUNNEL_STREAM_STREAM_H
#define CACHETUNNEL_STREAM_STREAM_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * One end of bytes, of whatever kind: a socket, TLS over a stream, later an SSH channel. Whoever
 * holds a stream reads, writes and says what it waits for; it never asks which kind it is.
 * Streams stack: a TLS stream owns the stream below it.
 *
 * Nothing blocks. A stream belongs to one worker and is used from its thread only. Readiness is
 * reported from the event loop, never from inside a call made here, and it is a hint: the next
 * read or write may still say STREAM_AGAIN.
 */

enum stream_result {
	STREAM_OK,     /* some bytes moved; the count says how many (at least 1) */
	STREAM_AGAIN,  /* nothing now; ask for readiness */
	STREAM_EOF,    /* reading: the peer has ended its direction. Final */
	STREAM_RESET,  /* the peer is gone without ceremony; err says how. Final */
	STREAM_FAILED, /* anything else that ends the stream; err says what. Final */
};

enum stream_interest {
	STREAM_READ = 1 << 0,  /* something can be read, end-of-file and errors included */
	STREAM_WRITE = 1 << 1, /* something can be written, errors included */
};

struct stream;

/* Something that was waited for has come: `ready` is a set of enum stream_interest. The callee
 * may do anything with the stream but free it. */
typedef void stream_ready_cb(void *arg, struct stream *stream, unsigned ready);

struct stream_ops {
	enum stream_result (*read)(struct stream *stream, void *into, size_t size,
				   size_t *ret_count, struct err *err);
	enum stream_result (*write)(struct stream *stream, const void *bytes, size_t length,
				    size_t *ret_count, struct err *err);
	enum stream_result (*shutdown)(struct stream *stream, struct err *err);
	bool (*has_pending)(const struct stream *stream);
	void (*set_interest)(struct stream *stream, unsigned interest);
	void (*reset_on_close)(struct stream *stream);
	void (*acknowledge)(struct stream *stream);                /* NULL: nobody waits for it */
	void (*set_urgent)(struct stream *stream, bool is_urgent); /* NULL: cannot be */
	void (*free)(struct stream *stream);
};

/* What every kind begins with. */
struct stream {
	const struct stream_ops *ops;
	stream_ready_cb *on_ready;
	void *on_ready_arg;
	unsigned interest; /* what on_ready is wanted for */
};

/* For the kinds themselves: fills the common part, and tells the holder. */
void stream_init(struct stream *stream, const struct stream_ops *ops);
void stream_notify(struct stream *stream, unsigned ready);

/* Whom to tell. Replaces whoever was told before; NULL for nobody. */
static inline void
stream_set_handler(struct stream *stream, stream_ready_cb *on_ready, void *arg)
{
	stream->on_ready = on_ready;
	stream->on_ready_arg = arg;
}

/* Waits for exactly this set of enum stream_interest from now on, until told otherwise; cheap
 * when nothing changes. */
void stream_set_interest(struct stream *stream, unsigned interest);

/* Reads up to `size` bytes (at least 1). `*ret_count` is set with STREAM_OK only, `err` with
 * STREAM_RESET and STREAM_FAILED. A count below `size` does not mean that no more is there. */
static inline enum stream_result
stream_read(struct stream *stream, void *into, size_t size, size_t *ret_count, struct err *err)
{
	return stream->ops->read(stream, into, size, ret_count, err);
}

/* Writes up to `length` bytes (at least 1). After STREAM_AGAIN the next write must begin with
 * the same bytes (they may lie elsewhere, and more may follow them): TLS has sealed them. */
static inline enum stream_result
stream_write(struct stream *stream, const void *bytes, size_t length, size_t *ret_count,
	     struct err *err)
{
	return stream->ops->write(stream, bytes, length, ret_count, err);
}

/* Ends our direction; the peer sees end-of-file after all that was written. On STREAM_AGAIN call
 * again when writable; STREAM_OK once it is done. Reading goes on. */
static inline enum stream_result
stream_shutdown(struct stream *stream, struct err *err)
{
	return stream->ops->shutdown(stream, err);
}

/* Whether bytes are held inside that no event will announce: then read without waiting. */
static inline bool
stream_has_pending(const struct stream *stream)
{
	return stream->ops->has_pending(stream);
}

/* From now on closing is a reset: unsent bytes are dropped and the peer gets an error rather
 * than an end-of-file. */
static inline void
stream_reset_on_close(struct stream *stream)
{
	stream->ops->reset_on_close(stream);
}

/* Tells the peer that what was read has arrived, unless what was written since has told it. For a
 * peer that holds back small packets until the last one is acknowledged (Nagle), as sshd does for
 * forwarded connections: without this, many an answer costs 40 ms. */
static inline void
stream_acknowledge(struct stream *stream)
{
	if (stream->ops->acknowledge != NULL)
		stream->ops->acknowledge(stream);
}

/* True: asks the peer for a sign of life now, and then each second, until it is false again: then
 * as seldom as before. Without an effect where there is nobody to ask, or others ask. */
static inline void
stream_set_urgent(struct stream *stream, bool is_urgent)
{
	if (stream->ops->set_urgent != NULL)
		stream->ops->set_urgent(stream, is_urgent);
}

/* Closes and frees the stream and all below it. Never from inside on_ready. NULL is fine. */
static inline void
stream_free(struct stream *stream)
{
	if (stream != NULL)
		stream->ops->free(stream);
}

#endif
