#include "tunnel/inbox.h"

#include "base/compat.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct inbox {
	void *receiver;        /* borrowed */
	int ends[2];           /* of a pipe; a byte in it means that there are messages */
	struct event *wakeup;  /* owned */
	pthread_mutex_t mutex; /* guards the rest */
	struct list messages;
};

/* Empties the queue at once, so that messages posted meanwhile wait for the next turn. */
static void
receive_all(struct inbox *inbox)
{
	struct list received;

	list_init(&received);
	(void)pthread_mutex_lock(&inbox->mutex);
	while (!list_is_empty(&inbox->messages)) {
		struct list *link = inbox->messages.next;
		list_remove(link);
		list_append(&received, link);
	}
	(void)pthread_mutex_unlock(&inbox->mutex);

	while (!list_is_empty(&received)) {
		struct message *message = LIST_ITEM(received.next, struct message, link);
		list_remove(&message->link);
		message->receive(message, inbox->receiver);
	}
}

static void
on_wakeup(evutil_socket_t fd, short what ATTR_UNUSED, void *arg)
{
	char bytes[64];

	/* Less than was asked for is all there was. */
	while (read(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes)
		continue;
	receive_all(arg);
}

struct inbox *
inbox_new(struct event_base *base, void *receiver)
{
	struct inbox *inbox = calloc(1, sizeof *inbox);

	if (inbox == NULL)
		return NULL;
	inbox->receiver = receiver;
	list_init(&inbox->messages);
	if (!compat_pipe(inbox->ends)) {
		free(inbox);
		return NULL;
	}
	(void)pthread_mutex_init(&inbox->mutex, NULL);
	inbox->wakeup = event_new(base, inbox->ends[0], EV_READ | EV_PERSIST, on_wakeup, inbox);
	if (inbox->wakeup == NULL || event_add(inbox->wakeup, NULL) != 0) {
		inbox_free(inbox);
		return NULL;
	}
	return inbox;
}

void
inbox_free(struct inbox *inbox)
{
	if (inbox == NULL)
		return;
	receive_all(inbox);
	if (inbox->wakeup != NULL)
		event_free(inbox->wakeup);
	(void)close(inbox->ends[0]);
	(void)close(inbox->ends[1]);
	(void)pthread_mutex_destroy(&inbox->mutex);
	free(inbox);
}

void
inbox_post(struct inbox *inbox, struct message *message)
{
	(void)pthread_mutex_lock(&inbox->mutex);
	bool was_empty = list_is_empty(&inbox->messages);
	list_append(&inbox->messages, &message->link);
	(void)pthread_mutex_unlock(&inbox->mutex);

	/* A full pipe wakes the receiver just as well. */
	if (was_empty && write(inbox->ends[1], "", 1) < 0)
		return;
}
