#include "stream/stream.h"

void
stream_init(struct stream *stream, const struct stream_ops *ops)
{
	*stream = (struct stream){.ops = ops};
}

void
stream_notify(struct stream *stream, unsigned ready)
{
	if (stream->on_ready != NULL && ready != 0)
		stream->on_ready(stream->on_ready_arg, stream, ready);
}

void
stream_set_interest(struct stream *stream, unsigned interest)
{
	stream->interest = interest;
	stream->ops->set_interest(stream, interest);
}
