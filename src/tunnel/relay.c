#include "tunnel/relay.h"

#include "base/clock.h"
#include "tunnel/direction.h"
#include "tunnel/exchange.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

enum {
	/* What one direction may do before others get their turn: 16 TLS records. */
	MAX_ROUNDS = 4,
	READS_A_ROUND = 4,
	TLS_RECORD_SIZE = 16 * 1024, /* RFC 8446, 5.1 */
};

static const uint64_t second_us = 1000000;

struct relay {
	struct relay_settings settings;
	struct direction to_server;
	struct direction to_client;
	bool is_inspected; /* the client's first bytes have been looked at, or need not be */
	bool is_over;
	bool is_leaving;
	bool is_draining;
	struct exchange exchange;   /* whether a reply is outstanding */
	bool is_cut_short;          /* the server took no more while the client was still writing */
	enum relay_end first_ended; /* which side said end-of-file first */
	uint64_t moved_us;          /* when something moved last; kept while the timer is armed */
	struct event timer;         /* idle_s, close_s or last_s */
	struct event again;         /* bytes are waiting that no event will announce */
};

static bool
is_from_client(const struct relay *relay, const struct direction *direction)
{
	return direction == &relay->to_server;
}

static void
end(struct relay *relay, enum relay_end how, const struct err *err)
{
	static const struct err nothing;

	if (relay->is_over)
		return;
	relay->is_over = true;
	(void)event_del(&relay->timer);
	(void)event_del(&relay->again);
	stream_set_interest(relay->to_server.from, 0);
	stream_set_interest(relay->to_server.to, 0);
	relay->settings.on_end(relay->settings.arg, how, err != NULL ? err : &nothing);
}

/* A stream broke while it was read from, or a client while it was written to. */
static void
end_broken(struct relay *relay, const struct stream *broken, enum stream_result result,
	   const struct err *err)
{
	bool is_client = broken == relay->to_server.from;

	if (result == STREAM_RESET)
		end(relay, is_client ? RELAY_CLIENT_RESET : RELAY_SERVER_RESET, err);
	else
		end(relay, is_client ? RELAY_CLIENT_FAILED : RELAY_SERVER_FAILED, err);
}

/* A server that takes no more may still have said why: its last words are read before its
 * failure counts, and meanwhile the client is not held up. A client that takes no more is gone. */
static void
on_write_failed(struct relay *relay, struct direction *direction, enum stream_result result,
		const struct err *err)
{
	if (!is_from_client(relay, direction)) {
		end_broken(relay, direction->to, result, err);
		return;
	}
	/* An end alone that could not be passed on is nobody's loss. */
	relay->is_cut_short |= direction->state != DIRECTION_ENDING ||
			       buffer_length(&direction->pending) > 0;
	buffer_done(&direction->pending);
	direction_set_state(direction, direction->state == DIRECTION_ENDING ? DIRECTION_DONE
									    : DIRECTION_DISCARDING);
}

/* Writes as much as the destination takes. Returns what is left of `length`, after a failure 0. */
static size_t
write_some(struct relay *relay, struct direction *direction, const unsigned char *bytes,
	   size_t length)
{
	struct err err = {{0}};
	size_t left = length;

	while (left > 0) {
		size_t count = 0;
		enum stream_result result = stream_write(direction->to, bytes + (length - left),
							 left, &count, &err);
		if (result == STREAM_AGAIN)
			break;
		if (result != STREAM_OK) {
			on_write_failed(relay, direction, result, &err);
			return 0;
		}
		left -= count;
		direction->bytes += count;
	}
	return left;
}

static void
write_pending(struct relay *relay, struct direction *direction)
{
	size_t length = buffer_length(&direction->pending);
	size_t left = write_some(relay, direction, buffer_head(&direction->pending), length);

	/* A failure has dropped what was pending. */
	if (buffer_length(&direction->pending) > 0)
		buffer_consume(&direction->pending, length - left);
}

static void
pass_end_on(struct relay *relay, struct direction *direction)
{
	struct err err = {{0}};
	enum stream_result result = stream_shutdown(direction->to, &err);

	if (result == STREAM_OK || result == STREAM_EOF)
		direction_set_state(direction, DIRECTION_ENDED);
	else if (result != STREAM_AGAIN)
		on_write_failed(relay, direction, result, &err);
}

static void
on_source_ended(struct relay *relay, struct direction *direction)
{
	if (!direction_has_source_ended(&relay->to_server) &&
	    !direction_has_source_ended(&relay->to_client))
		relay->first_ended = is_from_client(relay, direction) ? RELAY_CLIENT_ENDED
								      : RELAY_SERVER_ENDED;
	direction_set_state(direction, direction->state == DIRECTION_DISCARDING ? DIRECTION_DONE
										: DIRECTION_ENDING);
	/* The time that counts is another one now; update() arms it. */
	(void)event_del(&relay->timer);
}

/* A source that broke. When its other direction had already found that out, this is how the
 * server ended, after its last words: an end-of-file for the client, who may still be reading. */
static void
on_read_failed(struct relay *relay, struct direction *direction, enum stream_result result,
	       const struct err *err)
{
	if (!is_from_client(relay, direction) && result == STREAM_RESET &&
	    relay->to_server.state == DIRECTION_DISCARDING)
		on_source_ended(relay, direction);
	else
		end_broken(relay, direction->from, result, err);
}

static bool
inspect(struct relay *relay, const unsigned char *bytes, size_t length)
{
	struct err err = {{0}};

	relay->is_inspected = true;
	if (relay->settings.inspect(relay->settings.arg, bytes, length, &err))
		return true;
	end(relay, RELAY_REFUSED, &err);
	return false;
}

static void
pass_on(struct relay *relay, struct direction *direction, size_t length)
{
	const unsigned char *bytes = relay->settings.scratch->bytes;

	if (direction->state == DIRECTION_DISCARDING)
		return;
	if (!relay->is_inspected && is_from_client(relay, direction) &&
	    !inspect(relay, bytes, length))
		return;
	exchange_note(&relay->exchange, is_from_client(relay, direction), bytes, length);
	size_t left = write_some(relay, direction, bytes, length);
	if (left > 0 && !buffer_append(&direction->pending, bytes + (length - left), left)) {
		end(relay, RELAY_NO_MEMORY, NULL);
		return;
	}
	if (relay->settings.observe != NULL && !relay->is_over)
		relay->settings.observe(relay->settings.arg, is_from_client(relay, direction),
					bytes, length);
}

/* Reads into scratch space what is at hand: once, and on while the source holds more inside and
 * another whole TLS record has room, so that several records leave in one write. */
static enum stream_result
fill_scratch(struct relay *relay, struct direction *direction, size_t *ret_length, struct err *err)
{
	const struct scratch *scratch = relay->settings.scratch;
	enum stream_result result;
	int reads = 0;

	*ret_length = 0;
	do {
		size_t count = 0;
		result = stream_read(direction->from, scratch->bytes + *ret_length,
				     scratch->size - *ret_length, &count, err);
		*ret_length += count;
	} while (result == STREAM_OK && ++reads < READS_A_ROUND &&
		 scratch->size - *ret_length >= TLS_RECORD_SIZE &&
		 stream_has_pending(direction->from));
	return result;
}

/* Reads and passes it on. Returns whether more is at hand that no event will announce: a socket
 * tells again by itself, so reading until EAGAIN would only cost a system call. */
static bool
read_some(struct relay *relay, struct direction *direction)
{
	struct err err = {{0}};
	size_t length;
	enum stream_result result = fill_scratch(relay, direction, &length, &err);

	if (length > 0)
		pass_on(relay, direction, length);
	if (relay->is_over)
		return false;
	switch (result) {
	case STREAM_OK:
		return stream_has_pending(direction->from);
	case STREAM_AGAIN:
		return false;
	case STREAM_EOF:
		on_source_ended(relay, direction);
		return false;
	case STREAM_RESET:
	case STREAM_FAILED:
		on_read_failed(relay, direction, result, &err);
		return false;
	}
	return false;
}

/* Moves what can be moved now. Returns whether it stopped only for the sake of others. */
static bool
pump(struct relay *relay, struct direction *direction, bool is_readable, bool is_writable)
{
	if (is_writable && buffer_length(&direction->pending) > 0)
		write_pending(relay, direction);

	/* While bytes were pending, nobody read what the source held inside. */
	bool has_more = is_readable || stream_has_pending(direction->from);
	for (int round = 0; has_more && !relay->is_over && direction_is_reading(direction);
	     round++) {
		if (round == MAX_ROUNDS)
			return true;
		has_more = read_some(relay, direction);
	}
	if (!relay->is_over && direction->state == DIRECTION_ENDING &&
	    buffer_length(&direction->pending) == 0)
		pass_end_on(relay, direction);
	return false;
}

/* How long nothing may move, given what has ended; 0: for ever. */
static int
patience_s(const struct relay *relay)
{
	bool is_half_ended = direction_has_source_ended(&relay->to_server) ||
			     direction_has_source_ended(&relay->to_client);

	if (!is_half_ended)
		return relay->settings.idle_s;
	return relay->settings.close_s > 0 ? relay->settings.close_s : relay->settings.last_s;
}

static void
update_timer(struct relay *relay)
{
	int limit_s = patience_s(relay);

	if (limit_s == 0)
		return;
	/* The timer looks at this when it fires, so that moving bytes costs no timer calls. */
	relay->moved_us = clock_now_us();
	if (!event_pending(&relay->timer, EV_TIMEOUT, NULL)) {
		struct timeval timeout = {.tv_sec = limit_s};
		(void)event_add(&relay->timer, &timeout);
	}
}

static bool
is_finished(const struct relay *relay)
{
	const struct direction *to_server = &relay->to_server;
	const struct direction *to_client = &relay->to_client;
	bool is_idle = !direction_is_writing(to_server) && !direction_is_writing(to_client);

	if (direction_is_settled(to_server) && direction_is_settled(to_client))
		return true;
	/* close_s = 0: whoever ends first ends it all, after what was on its way. */
	return relay->settings.close_s == 0 && is_idle &&
	       (direction_has_source_ended(to_server) || direction_has_source_ended(to_client));
}

/* While draining: whether it is at rest for long enough. If not yet, looks again then. */
static bool
has_rested(struct relay *relay)
{
	bool is_still = !direction_is_writing(&relay->to_server) &&
			!direction_is_writing(&relay->to_client) &&
			!stream_has_pending(relay->to_server.from) &&
			!stream_has_pending(relay->to_server.to);
	uint64_t left_us = exchange_rest(&relay->exchange, is_still, clock_now_us());
	const struct timeval left = {.tv_usec = (suseconds_t)left_us};

	if (left_us != EXCHANGE_NOT_RESTING && left_us > 0)
		(void)event_add(&relay->again, &left);
	return left_us == 0;
}

/* Derives what to wait for from the state, after every step. */
static void
update(struct relay *relay)
{
	const struct direction *to_server = &relay->to_server;
	const struct direction *to_client = &relay->to_client;
	unsigned client = 0;
	unsigned server = 0;

	if (relay->is_over)
		return;
	if (is_finished(relay)) {
		struct err err = {{0}};
		if (relay->is_cut_short)
			(void)err_set(&err,
				      "the server took no more while the client was still writing");
		end(relay, relay->first_ended, &err);
		return;
	}
	if (relay->is_leaving && !direction_is_writing(to_server) &&
	    !direction_is_writing(to_client) && relay->settings.is_quiet(relay->settings.arg)) {
		end(relay, RELAY_LEFT, NULL);
		return;
	}
	if (relay->is_draining && has_rested(relay)) {
		end(relay, RELAY_DRAINED, NULL);
		return;
	}
	if (direction_is_reading(to_server))
		client |= STREAM_READ;
	if (direction_is_writing(to_client))
		client |= STREAM_WRITE;
	if (direction_is_reading(to_client))
		server |= STREAM_READ;
	if (direction_is_writing(to_server))
		server |= STREAM_WRITE;
	stream_set_interest(to_server->from, client);
	stream_set_interest(to_server->to, server);
	update_timer(relay);
}

static void
step(struct relay *relay, unsigned client_ready, unsigned server_ready)
{
	bool must_go_on = false;

	/* The server first: its last words count before what a failing write tells about it. */
	must_go_on |= pump(relay, &relay->to_client, (server_ready & STREAM_READ) != 0,
			   (client_ready & STREAM_WRITE) != 0);
	if (!relay->is_over)
		must_go_on |= pump(relay, &relay->to_server, (client_ready & STREAM_READ) != 0,
				   (server_ready & STREAM_WRITE) != 0);
	if (must_go_on && !relay->is_over)
		event_active(&relay->again, EV_TIMEOUT, 0);
	update(relay);
}

static void
on_client_ready(void *arg, struct stream *stream ATTR_UNUSED, unsigned ready)
{
	step(arg, ready, 0);
}

static void
on_server_ready(void *arg, struct stream *stream ATTR_UNUSED, unsigned ready)
{
	step(arg, 0, ready);
}

/* Goes on after a pause for the sake of others, and at the very start. While draining, what has
 * arrived meanwhile counts, although the loop may not have come to it. */
static void
on_again(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct relay *relay = arg;
	unsigned ready = relay->is_draining ? STREAM_READ | STREAM_WRITE : STREAM_WRITE;

	step(relay, ready, ready);
}

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct relay *relay = arg;
	uint64_t limit_us = (uint64_t)patience_s(relay) * second_us;
	uint64_t quiet_us = clock_now_us() - relay->moved_us;

	if (limit_us == 0)
		return;
	if (quiet_us < limit_us) {
		const struct timeval rest = clock_span(limit_us - quiet_us);
		(void)event_add(&relay->timer, &rest);
		return;
	}
	if (direction_has_source_ended(&relay->to_server) ||
	    direction_has_source_ended(&relay->to_client)) {
		struct err err;
		(void)err_set(&err, "the other side was quiet for %d s (TIMEOUTclose)",
			      patience_s(relay));
		end(relay, relay->first_ended, &err);
	} else {
		end(relay, RELAY_IDLE, NULL);
	}
}

struct relay *
relay_new(struct stream *client, struct stream *server, const struct relay_settings *settings,
	  struct buffer *early)
{
	struct relay *relay = calloc(1, sizeof *relay);

	if (relay == NULL)
		return NULL;
	relay->settings = *settings;
	relay->is_inspected = settings->inspect == NULL;
	relay->to_server = (struct direction){.from = client, .to = server};
	relay->to_client = (struct direction){.from = server, .to = client};
	(void)event_assign(&relay->timer, settings->base, -1, 0, on_timer, relay);
	(void)event_assign(&relay->again, settings->base, -1, 0, on_again, relay);
	stream_set_handler(client, on_client_ready, relay);
	stream_set_handler(server, on_server_ready, relay);
	if (buffer_length(early) > 0)
		exchange_note(&relay->exchange, true, buffer_head(early), buffer_length(early));
	relay->to_server.pending = *early;
	buffer_init(early);
	/* The first turn writes the early bytes, and reads what the server's stream holds already. */
	event_active(&relay->again, EV_TIMEOUT, 0);
	update(relay);
	return relay;
}

void
relay_free(struct relay *relay)
{
	if (relay == NULL)
		return;
	(void)event_del(&relay->timer);
	(void)event_del(&relay->again);
	if (!relay->is_over) {
		stream_set_interest(relay->to_server.from, 0);
		stream_set_interest(relay->to_server.to, 0);
	}
	stream_set_handler(relay->to_server.from, NULL, NULL);
	stream_set_handler(relay->to_server.to, NULL, NULL);
	buffer_done(&relay->to_server.pending);
	buffer_done(&relay->to_client.pending);
	free(relay);
}

void
relay_leave(struct relay *relay)
{
	if (relay->is_over)
		return;
	relay->is_leaving = true;
	event_active(&relay->again, EV_TIMEOUT, 0);
}

void
relay_cut(struct relay *relay)
{
	end(relay, RELAY_CUT, NULL);
}

void
relay_drain(struct relay *relay)
{
	if (relay->is_over || relay->is_draining)
		return;
	relay->is_draining = true;
	event_active(&relay->again, EV_TIMEOUT, 0);
}

uint64_t
relay_bytes_to_server(const struct relay *relay)
{
	return relay->to_server.bytes;
}

uint64_t
relay_bytes_to_client(const struct relay *relay)
{
	return relay->to_client.bytes;
}
