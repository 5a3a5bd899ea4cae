#ifndef CACHETUNNEL_TUNNEL_INBOX_H
#define CACHETUNNEL_TUNNEL_INBOX_H

#include "base/list.h"

#include <stdbool.h>

/*
 * How one thread hands something over to another: messages in a queue, and a descriptor that
 * wakes the receiver's loop. The one way into a worker, and from a worker to the main thread.
 */

struct event_base;
struct inbox;

struct message;

/* Runs in the receiver's thread, once for each message, in order; takes the message. `receiver` is
 * whose inbox it is. */
typedef void message_receive_cb(struct message *message, void *receiver);

/* What every message begins with. It knows itself what to do where it arrives; to answer, it
 * changes that and is posted to the inbox that it came from. */
struct message {
	struct list link;
	message_receive_cb *receive;
};

/* For the receiver whose loop `base` is; both are borrowed. Returns owned; NULL when there is no
 * memory or no descriptor for it. */
struct inbox *inbox_new(struct event_base *base, void *receiver);

/* In the receiver's thread, or when it has ended. Messages that are still inside are received
 * first. NULL is fine. */
void inbox_free(struct inbox *inbox);

/* Takes the message. Any thread; never blocks for longer than a list operation. */
void inbox_post(struct inbox *inbox, struct message *message);

#endif
