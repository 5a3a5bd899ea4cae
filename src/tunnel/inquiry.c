#include "tunnel/inquiry.h"

#include "tunnel/worker.h"

#include <stdlib.h>
#include <string.h>

static void
receive_answer(struct message *message, void *receiver ATTR_UNUSED)
{
	struct inquiry *inquiry = (struct inquiry *)(void *)message;

	inquiry->on_answer(inquiry);
}

static void
copy_health(struct inquiry *inquiry, const struct health_book *book)
{
	size_t count = 0;

	for (struct list *link = book->all.next; link != &book->all; link = link->next)
		count++;
	inquiry->services = calloc(count + 1, sizeof *inquiry->services);
	if (inquiry->services == NULL)
		return;
	for (struct list *link = book->all.next; link != &book->all; link = link->next) {
		const struct health *health = LIST_ITEM(link, struct health, link);
		struct inquiry_service *copy = &inquiry->services[inquiry->service_count];
		copy->name = strdup(health->stats->name);
		if (copy->name == NULL)
			return;
		copy->view = health->view;
		inquiry->service_count++;
	}
}

static void
visit_tunnel(void *arg, struct tunnel *tunnel)
{
	struct inquiry *inquiry = arg;

	tunnel_account(tunnel);
	if (inquiry->tunnel_count < inquiry->max_tunnels)
		tunnel_describe(tunnel, &inquiry->tunnels[inquiry->tunnel_count++]);
}

void
inquiry_answer(struct inquiry *inquiry, struct worker *worker)
{
	copy_health(inquiry, worker_health_book(worker));
	inquiry->tunnels = calloc(inquiry->max_tunnels + 1, sizeof *inquiry->tunnels);
	if (inquiry->tunnels == NULL)
		inquiry->max_tunnels = 0;
	worker_visit_tunnels(worker, visit_tunnel, inquiry);
	inquiry->message.receive = receive_answer;
	inbox_post(inquiry->reply_to, &inquiry->message);
}

static void
receive_question(struct message *message, void *receiver)
{
	struct inquiry *inquiry = (struct inquiry *)(void *)message;

	if (inquiry->begin != NULL)
		inquiry->begin(inquiry, receiver);
	else
		inquiry_answer(inquiry, receiver);
}

void
inquiry_start(struct inquiry *inquiry, struct worker *worker)
{
	inquiry->message.receive = receive_question;
	worker_post(worker, &inquiry->message);
}

void
inquiry_free(struct inquiry *inquiry)
{
	if (inquiry == NULL)
		return;
	for (size_t i = 0; i < inquiry->service_count; i++)
		free(inquiry->services[i].name);
	free(inquiry->services);
	free(inquiry->tunnels);
	free(inquiry);
}
