#ifndef CACHETUNNEL_TUNNEL_INBOX_H
#define CACHETUNNEL_TUNNEL_INBOX_H

#include "base/list.h"

#include <stdbool.h>

/*
 * How one thread hands something over to another: messages in a queue, and a descriptor that
 * wakes the receiver's loop. The one way into a worker.
 */

struct event_base;
struct inbox;

/* What every message begins with. */
struct message {
	struct list link;
};

/* Runs in the receiver's thread, once for each message, in order; takes the message. */
typedef void inbox_receive_cb(void *arg, struct message *message);

/* For the receiver whose loop `base` is (borrowed). Returns owned; NULL when there is no memory
 * or no descriptor for it. */
struct inbox *inbox_new(struct event_base *base, inbox_receive_cb *on_receive, void *arg);

/* In the receiver's thread, or when it has ended. Messages that are still inside are received
 * first. NULL is fine. */
void inbox_free(struct inbox *inbox);

/* Takes the message. Any thread; never blocks for longer than a list operation. */
void inbox_post(struct inbox *inbox, struct message *message);

#endif
