#include "serving.h"

#include "base/compat.h"
#include "base/log.h"
#include "base/memory.h"
#include "tunnel/demotion.h"
#include "tunnel/generation.h"
#include "tunnel/listener.h"
#include "tunnel/socket_setup.h"
#include "tunnel/stats.h"
#include "tunnel/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_DEFAULT_WORKERS = 4 };

struct serving {
	struct setup *setup;                 /* one reference */
	struct listeners listeners;          /* owned; one for each service */
	const struct activation *activation; /* borrowed; NULL: none */
	struct worker **workers;             /* owned */
	size_t worker_count;
	struct event_base *base; /* borrowed; NULL before the start */
	struct inbox *inbox;     /* owned; for the workers' news; NULL before the start */

	/* While a change is prepared; NULL: none is. */
	struct setup *next_setup;        /* one reference */
	struct listeners next_listeners; /* owned */
};

static void
close_listeners(struct listeners *listeners)
{
	for (size_t i = 0; i < listeners->count; i++)
		listener_close(listeners->items[i]);
	free(listeners->items);
	*listeners = (struct listeners){0};
}

static bool
open_listeners(struct setup *setup, const struct listeners *before,
	       const struct activation *activation, struct listeners *ret_listeners,
	       struct report *report)
{
	size_t count = setup_config(setup)->service_count;
	bool are_open = true;

	ret_listeners->items = memory_zero(count * sizeof(struct listener *));
	ret_listeners->count = count;
	for (size_t i = 0; i < count; i++) {
		ret_listeners->items[i] = listener_open(setup_get_service(setup, i), before,
							activation, report);
		are_open = are_open && ret_listeners->items[i] != NULL;
	}
	if (!are_open)
		close_listeners(ret_listeners);
	return are_open;
}

struct serving *
serving_open(struct setup *setup, const struct activation *activation, struct report *report)
{
	struct serving *serving = memory_zero(sizeof *serving);

	serving->setup = setup_ref(setup);
	serving->activation = activation;
	if (open_listeners(setup, NULL, activation, &serving->listeners, report))
		return serving;
	serving_free(serving);
	return NULL;
}

static struct worker *
least_loaded(const struct serving *serving)
{
	struct worker *best = serving->workers[0];

	for (size_t i = 1; i < serving->worker_count; i++) {
		if (worker_load(serving->workers[i]) < worker_load(best))
			best = serving->workers[i];
	}
	return best;
}

static struct worker *
worker_for(const struct serving *serving, const struct service *service)
{
	size_t owner;

	if (generation_find_owner(service, serving->worker_count, &owner))
		return serving->workers[owner];
	return least_loaded(serving);
}

static void
turn_away(const struct serving *serving, const struct service *service, enum admission admission)
{
	const struct log_facts facts = {.service = service->name};
	char text[LOG_TEXT_SIZE];

	stats_add(&setup_get_service(serving->setup, service->index)->stats->turned_away, 1);
	(void)snprintf(text, sizeof text,
		       "Service [%s]: a client was turned away: %s has its maxClients = %d",
		       service->name,
		       admission == ADMISSION_SERVICE_FULL ? "the service" : "the daemon",
		       setup_limit(serving->setup, service->index, admission));
	log_write_repeatable(&log_main, LOG_LEVEL_WARNING, &facts, text, "%s", text);
}

static void
on_client(void *arg, const struct service *service, int fd, const struct sockaddr_storage *peer,
	  socklen_t peer_length)
{
	struct serving *serving = arg;
	enum admission admission = setup_admit(serving->setup, service->index);

	if (admission != ADMISSION_GRANTED) {
		(void)close(fd);
		turn_away(serving, service, admission);
		return;
	}
	const struct worker_client client = {
		.fd = fd,
		.setup = setup_ref(serving->setup),
		.service_index = service->index,
		.peer = *peer,
		.peer_length = peer_length,
	};
	if (worker_submit(worker_for(serving, service), &client))
		return;
	(void)close(fd);
	setup_release(serving->setup, service->index);
	setup_unref(serving->setup);
}

static bool
has_room(void *arg)
{
	const struct serving *serving = arg;

	return setup_has_room(serving->setup);
}

static void
receive_demotion(struct message *message, void *receiver)
{
	struct demotion *demotion = (struct demotion *)(void *)message;
	const struct serving *serving = receiver;

	for (size_t i = 0; i < serving->worker_count; i++) {
		if (i != demotion->heard_by)
			worker_tell_demotion(serving->workers[i], demotion);
	}
	demotion_free(demotion);
}

static bool
start_workers(struct serving *serving, struct err *err)
{
	int wanted = setup_config(serving->setup)->global.workers;
	int processors = compat_processor_count();

	if (wanted == 0)
		wanted = processors < MAX_DEFAULT_WORKERS ? processors : MAX_DEFAULT_WORKERS;
	serving->workers = memory_zero((size_t)wanted * sizeof(struct worker *));
	for (size_t i = 0; i < (size_t)wanted; i++) {
		const struct worker_request request = {
			.setup = serving->setup,
			.index = i,
			.count = (size_t)wanted,
			.host = serving->inbox,
			.receive_demotion = receive_demotion,
		};
		serving->workers[i] = worker_start(&request, err);
		if (serving->workers[i] == NULL)
			return false;
		serving->worker_count++;
	}
	return true;
}

static bool
start_listeners(struct serving *serving, struct listeners *listeners)
{
	for (size_t i = 0; i < listeners->count; i++) {
		if (!listener_start(listeners->items[i], serving->base, on_client, has_room,
				    serving))
			return false;
	}
	return true;
}

bool
serving_start(struct serving *serving, struct event_base *base, struct err *err)
{
	serving->base = base;
	serving->inbox = inbox_new(base, serving);
	if (serving->inbox == NULL)
		return err_set(err, "cannot make an inbox: out of memory or descriptors");
	if (!start_workers(serving, err))
		return false;
	return start_listeners(serving, &serving->listeners) ||
	       err_set(err, "cannot start accepting");
}

bool
serving_prepare(struct serving *serving, struct setup *setup, struct report *report)
{
	if (!open_listeners(setup, &serving->listeners, serving->activation,
			    &serving->next_listeners, report))
		return false;
	serving->next_setup = setup_ref(setup);
	if (start_listeners(serving, &serving->next_listeners))
		return true;
	serving_forget(serving);
	report_add(report, REPORT_ERROR, (struct location){0}, "cannot start accepting");
	return false;
}

void
serving_switch(struct serving *serving)
{
	struct setup *setup = serving->next_setup;

	for (size_t i = 0; i < serving->next_listeners.count; i++)
		listener_take_over(serving->next_listeners.items[i]);
	close_listeners(&serving->listeners);
	serving->listeners = serving->next_listeners;
	serving->next_listeners = (struct listeners){0};
	setup_unref(serving->setup);
	serving->setup = setup;
	serving->next_setup = NULL;
	/* Before any client of the new setup, so that none has to wait for it. */
	for (size_t i = 0; i < serving->worker_count; i++)
		worker_renew(serving->workers[i], setup);
}

void
serving_forget(struct serving *serving)
{
	close_listeners(&serving->next_listeners);
	setup_unref(serving->next_setup);
	serving->next_setup = NULL;
}

void
serving_stop_accepting(struct serving *serving)
{
	close_listeners(&serving->listeners);
}

int
serving_client_count(const struct serving *serving)
{
	int count = 0;

	for (size_t i = 0; i < serving->worker_count; i++)
		count += worker_load(serving->workers[i]);
	return count;
}

struct setup *
serving_setup(const struct serving *serving)
{
	return serving->setup;
}

size_t
serving_worker_count(const struct serving *serving)
{
	return serving->worker_count;
}

struct worker *const *
serving_workers(const struct serving *serving)
{
	return serving->workers;
}

struct listener *const *
serving_listeners(const struct serving *serving)
{
	return serving->listeners.items;
}

struct worker *
serving_worker(const struct serving *serving, size_t index)
{
	return serving->workers[index];
}

void
serving_log_service(const struct service *service)
{
	const struct address_list *accept = &service->options.accept;
	const struct address_list *endpoints = &service->options.connect;
	char from[SOCKET_NAME_SIZE];
	char to[SOCKET_NAME_SIZE];

	log_write(&log_main, LOG_LEVEL_NOTICE,
		  "Service [%s] listens on %s%s, connects to %s%s%s%s%s", service->name,
		  address_format(&accept->items[0], from, sizeof from),
		  accept->count > 1 ? " and more" : "",
		  address_format(&endpoints->items[0], to, sizeof to),
		  endpoints->count > 1 ? " and more" : "",
		  service->bastion != NULL ? " through bastion " : "",
		  service->bastion != NULL ? service->bastion->name : "",
		  service->options.plain ? ", without TLS" : "");
}

char *
serving_describe(const struct serving *serving, char *out, size_t size)
{
	(void)snprintf(out, size, "accepting clients for %zu service(s)",
		       setup_config(serving->setup)->service_count);
	return out;
}

void
serving_free(struct serving *serving)
{
	if (serving == NULL)
		return;
	serving_forget(serving);
	close_listeners(&serving->listeners);
	for (size_t i = 0; i < serving->worker_count; i++)
		worker_stop(serving->workers[i]);
	serving->worker_count = 0; /* the last news are for nobody */
	inbox_free(serving->inbox);
	free(serving->workers);
	setup_unref(serving->setup);
	free(serving);
}
