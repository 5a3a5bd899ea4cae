#include "tunnel/tunnels.h"

#include "base/attributes.h"
#include "tunnel/inbox.h"
#include "tunnel/tunnel.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

/* How long servers are asked for a sign of life after sleep. */
static const struct timeval urgency = {.tv_sec = 3};

struct tunnels {
	struct list all;
	struct list to_tidy;
	struct event tidy;
	struct event calm_down;     /* the end of an urgency */
	struct message *when_empty; /* borrowed; while draining, until it is posted */
	struct inbox *told_empty;   /* borrowed; where to */
	atomic_int *load;
};

static struct tunnel *
tunnel_of(struct tunnel_slot *slot)
{
	return (struct tunnel *)(void *)slot; /* a tunnel begins with its slot */
}

static struct tunnel_slot *
slot_of(struct tunnel *tunnel)
{
	return (struct tunnel_slot *)(void *)tunnel;
}

static struct tunnel *
tunnel_at(struct list *link)
{
	return tunnel_of(LIST_ITEM(link, struct tunnel_slot, all));
}

static void
set_urgent(struct tunnels *tunnels, bool is_urgent)
{
	for (struct list *link = tunnels->all.next; link != &tunnels->all; link = link->next)
		tunnel_set_urgent(tunnel_at(link), is_urgent);
}

static void
on_calm_down(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	set_urgent(arg, false);
}

static void
tell_if_empty(struct tunnels *tunnels)
{
	struct message *message = tunnels->when_empty;

	if (message == NULL || !list_is_empty(&tunnels->all))
		return;
	tunnels->when_empty = NULL;
	inbox_post(tunnels->told_empty, message);
}

static void
tidy_all(struct tunnels *tunnels)
{
	while (!list_is_empty(&tunnels->to_tidy)) {
		struct tunnel_slot *slot = LIST_ITEM(tunnels->to_tidy.next, struct tunnel_slot,
						     to_tidy);

		list_remove(&slot->to_tidy);
		if (tunnel_tidy(tunnel_of(slot)))
			(void)atomic_fetch_sub_explicit(tunnels->load, 1, memory_order_relaxed);
	}
	tell_if_empty(tunnels);
}

static void
on_tidy(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	tidy_all(arg);
}

struct tunnels *
tunnels_new(struct event_base *base, atomic_int *load)
{
	struct tunnels *tunnels = calloc(1, sizeof *tunnels);

	if (tunnels == NULL)
		return NULL;
	list_init(&tunnels->all);
	list_init(&tunnels->to_tidy);
	tunnels->load = load;
	(void)event_assign(&tunnels->tidy, base, -1, 0, on_tidy, tunnels);
	(void)event_assign(&tunnels->calm_down, base, -1, 0, on_calm_down, tunnels);
	return tunnels;
}

void
tunnels_free(struct tunnels *tunnels)
{
	if (tunnels == NULL)
		return;
	assert(list_is_empty(&tunnels->all));
	(void)event_del(&tunnels->tidy);
	(void)event_del(&tunnels->calm_down);
	free(tunnels);
}

void
tunnels_add(struct tunnels *tunnels, struct tunnel *tunnel)
{
	list_append(&tunnels->all, &slot_of(tunnel)->all);
}

void
tunnels_tidy_later(struct tunnels *tunnels, struct tunnel *tunnel)
{
	struct tunnel_slot *slot = slot_of(tunnel);

	list_remove(&slot->to_tidy);
	list_append(&tunnels->to_tidy, &slot->to_tidy);
	event_active(&tunnels->tidy, EV_TIMEOUT, 0);
}

void
tunnels_visit(const struct tunnels *tunnels, void (*visit)(void *arg, struct tunnel *tunnel),
	      void *arg)
{
	for (struct list *link = tunnels->all.previous; link != &tunnels->all;
	     link = link->previous)
		visit(arg, tunnel_at(link));
}

void
tunnels_probe(struct tunnels *tunnels)
{
	set_urgent(tunnels, true);
	(void)event_add(&tunnels->calm_down, &urgency);
}

void
tunnels_drain(struct tunnels *tunnels, struct message *when_empty, struct inbox *inbox)
{
	tunnels->when_empty = when_empty;
	tunnels->told_empty = inbox;
	for (struct list *link = tunnels->all.next; link != &tunnels->all; link = link->next)
		tunnel_drain(tunnel_at(link));
	tell_if_empty(tunnels);
}

void
tunnels_stop(struct tunnels *tunnels)
{
	tidy_all(tunnels);
	while (!list_is_empty(&tunnels->all))
		tunnel_stop(tunnel_at(tunnels->all.next), "cachetunnel stops");
}
