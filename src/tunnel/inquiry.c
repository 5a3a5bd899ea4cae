#include "tunnel/inquiry.h"

#include "tunnel/generation.h"
#include "tunnel/tunnel.h"
#include "tunnel/tunnels.h"
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
	inquiry->service_count = 0;
	inquiry->services = calloc(count + 1, sizeof *inquiry->services);
	if (inquiry->services == NULL)
		return;
	for (struct list *link = book->all.next; link != &book->all; link = link->next) {
		const struct health *health = LIST_ITEM(link, struct health, link);
		char *name = strdup(health->stats->name);
		if (name == NULL)
			return;
		inquiry->services[inquiry->service_count++] = (struct inquiry_service){
			.name = name,
			.view = health->view,
		};
	}
}

struct inquiry_service *
inquiry_find_service(struct inquiry_service *services, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(services[i].name, name) == 0)
			return &services[i];
	}
	return NULL;
}

static struct inquiry_service *
find_service(const struct inquiry *inquiry, const char *name)
{
	return inquiry_find_service(inquiry->services, inquiry->service_count, name);
}

static void
copy_whereabouts(struct inquiry *inquiry, const struct generation *generation, bool is_present)
{
	const struct config *config = setup_config(generation_setup(generation));

	for (size_t i = 0; i < config->service_count; i++) {
		struct inquiry_service *copy = find_service(inquiry, config->services[i]->name);
		if (copy != NULL && is_present)
			whereabouts_collect(&copy->where, generation, i);
		else if (copy != NULL)
			whereabouts_collect_past(&copy->where, generation, i);
	}
}

/* The present one first: it says which endpoints there are. */
static void
copy_all_whereabouts(struct inquiry *inquiry, const struct worker *worker)
{
	const struct generation *present = worker_generation(worker);
	const struct list *all = worker_generations(worker);

	copy_whereabouts(inquiry, present, true);
	for (struct list *link = all->next; link != all; link = link->next) {
		if (generation_of(link) != present)
			copy_whereabouts(inquiry, generation_of(link), false);
	}
}

static void
visit_tunnel(void *arg, struct tunnel *tunnel)
{
	struct inquiry *inquiry = arg;
	struct inquiry_service *service = find_service(inquiry, tunnel_service(tunnel));
	const char *server = tunnel_server(tunnel);

	tunnel_account(tunnel);
	if (service != NULL && server != NULL)
		whereabouts_add_tunnel(&service->where, server);
	if (inquiry->tunnel_count < inquiry->max_tunnels)
		tunnel_describe(tunnel, &inquiry->tunnels[inquiry->tunnel_count++]);
}

void
inquiry_answer(struct inquiry *inquiry, struct worker *worker)
{
	copy_health(inquiry, worker_health_book(worker));
	copy_all_whereabouts(inquiry, worker);
	inquiry->tunnels = calloc(inquiry->max_tunnels + 1, sizeof *inquiry->tunnels);
	if (inquiry->tunnels == NULL)
		inquiry->max_tunnels = 0;
	tunnels_visit(worker_tunnels(worker), visit_tunnel, inquiry);
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
