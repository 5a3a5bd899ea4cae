#include "tunnel/worker.h"

#include "base/log.h"
#include "config/bastion.h"
#include "ssh/proxy_command.h"
#include "tunnel/demotion.h"
#include "tunnel/generation.h"
#include "tunnel/health.h"
#include "tunnel/relay.h"
#include "tunnel/resolver.h"
#include "tunnel/tunnel.h"
#include "tunnel/tunnels.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* One read takes this much at most: four full TLS records, which is where larger stops paying. */
enum { SCRATCH_SIZE = 64 * 1024 };

struct worker {
	pthread_t thread;
	bool is_running;
	struct worker_request request; /* without the setup */
	atomic_int load;               /* clients in the inbox and tunnels */
	struct inbox *inbox;           /* owned; the only part that other threads touch */

	/* The thread's own. */
	struct event_base *base;   /* owned */
	struct resolver *resolver; /* owned */
	struct tunnels *tunnels;   /* owned */
	struct scratch scratch;    /* owned */
	struct health_book healths;
	struct step_observer on_way; /* to bastions */
	struct list generations;     /* all that live: the present one, and those of open tunnels */
	struct generation *generation; /* one reference; the one that new tunnels begin in */
	struct list tasks;
};

/* A client on its way in. */
struct client_message {
	struct message message; /* first, so that the two can be cast */
	struct worker_client client;
};

struct drain_message {
	struct message message; /* first, so that the two can be cast */
	struct message *when_empty;
	struct inbox *inbox;
};

/* What new clients are served by from now on. */
struct setup_message {
	struct message message; /* first, so that the two can be cast */
	struct setup *setup;    /* one reference */
};

static void
drop_load(struct worker *worker)
{
	(void)atomic_fetch_sub_explicit(&worker->load, 1, memory_order_relaxed);
}

static bool
goes_through(const struct service *service, const char *bastion_name)
{
	for (const struct bastion *at = service->bastion; at != NULL; at = at->via) {
		if (strcmp(at->name, bastion_name) == 0)
			return true;
	}
	return false;
}

/* A step to a bastion counts for every service that goes through it. */
static void
on_way_step(void *arg, const struct step *step)
{
	const struct worker *worker = arg;
	const struct config *config = setup_config(generation_setup(worker->generation));

	for (size_t i = 0; i < config->service_count; i++) {
		if (goes_through(config->services[i], step->bastion->name))
			health_observe_bastion(generation_health(worker->generation, i), step);
	}
}

/* Tunnels that began before a reload are at the same server. */
static void
tell_generations(const struct worker *worker, const struct demotion *demotion)
{
	for (struct list *link = worker->generations.next; link != &worker->generations;
	     link = link->next)
		generation_hear_demotion(generation_of(link), demotion);
}

static void
on_demotion(void *arg, const struct demotion *demotion)
{
	const struct worker *worker = arg;
	struct demotion *copy = demotion_copy(demotion);

	tell_generations(worker, demotion);
	/* Without memory each worker hears it from its own clients. */
	if (copy == NULL)
		return;
	copy->message.receive = worker->request.receive_demotion;
	inbox_post(worker->request.host, &copy->message);
}

static void
receive_demotion(struct message *message, void *receiver)
{
	struct demotion *demotion = (struct demotion *)(void *)message;

	tell_generations(receiver, demotion);
	demotion_free(demotion);
}

/* Makes the generation of `setup` the present one. False: no memory, and nothing is changed. */
static bool
renew(struct worker *worker, struct setup *setup)
{
	const struct generation_place place = {
		.base = worker->base,
		.resolver = worker->resolver,
		.living = &worker->generations,
		.healths = &worker->healths,
		.observer = &worker->on_way,
		.on_demotion = on_demotion,
		.arg = worker,
		.worker_index = worker->request.index,
		.worker_count = worker->request.count,
	};
	struct generation *fresh = generation_new(&place, setup, worker->generation);

	if (fresh == NULL)
		return false;
	generation_retire(worker->generation);
	generation_unref(worker->generation);
	worker->generation = fresh;
	return true;
}

static void
receive_setup(struct message *message, void *receiver)
{
	struct setup_message *received = (struct setup_message *)(void *)message;
	struct worker *worker = receiver;

	if (renew(worker, received->setup))
		generation_warm_up(worker->generation);
	setup_unref(received->setup);
	free(received);
}

static void
receive_client(struct message *message, void *receiver)
{
	struct client_message *received = (struct client_message *)(void *)message;
	const struct worker_client *client = &received->client;
	struct worker *worker = receiver;
	struct tunnel *tunnel = NULL;

	/* If memory ran out when this setup came, there may be some now. */
	if (generation_setup(worker->generation) == client->setup || renew(worker, client->setup))
		tunnel = tunnel_start(worker, worker->generation, client);
	else
		tunnel_turn_away(client);
	if (tunnel != NULL)
		tunnels_add(worker->tunnels, tunnel);
	else
		drop_load(worker);
	free(received);
}

static void
receive_warm_up(struct message *message, void *receiver)
{
	const struct worker *worker = receiver;

	generation_warm_up(worker->generation);
	free(message);
}

static void
receive_wake(struct message *message, void *receiver)
{
	struct worker *worker = receiver;

	resolver_forget(worker->resolver);
	for (struct list *link = worker->generations.next; link != &worker->generations;
	     link = link->next)
		generation_wake(generation_of(link));
	tunnels_probe(worker->tunnels);
	free(message);
}

static void
receive_stop(struct message *message, void *receiver)
{
	const struct worker *worker = receiver;

	(void)event_base_loopbreak(worker->base);
	free(message);
}

static void
receive_drain(struct message *message, void *receiver)
{
	struct drain_message *received = (struct drain_message *)(void *)message;
	const struct worker *worker = receiver;

	tunnels_drain(worker->tunnels, received->when_empty, received->inbox);
	free(received);
}

static void
visit_to_tell(void *arg ATTR_UNUSED, struct tunnel *tunnel)
{
	tunnel_tell(tunnel);
}

static void
receive_list(struct message *message, void *receiver)
{
	const struct worker *worker = receiver;

	tunnels_visit(worker->tunnels, visit_to_tell, NULL);
	free(message);
}

static void *
run(void *arg)
{
	struct worker *worker = arg;

	(void)event_base_loop(worker->base, EVLOOP_NO_EXIT_ON_EMPTY);
	tunnels_stop(worker->tunnels);
	return NULL;
}

/* Signals are the main thread's business. */
static bool
start_thread(struct worker *worker, struct err *err)
{
	sigset_t all;
	sigset_t before;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int failure = pthread_create(&worker->thread, NULL, run, worker);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failure != 0)
		return err_set_errno(err, failure, "cannot start a worker's thread");
	worker->is_running = true;
	return true;
}

static bool
make_loop(struct worker *worker)
{
	struct event_config *settings = event_config_new();

	if (settings == NULL)
		return false;
	/* No other thread touches this loop, so it needs no locks. */
	(void)event_config_set_flag(settings, EVENT_BASE_FLAG_NOLOCK);
	worker->base = event_base_new_with_config(settings);
	event_config_free(settings);
	if (worker->base == NULL)
		return false;
	worker->resolver = resolver_new(worker->base);
	worker->tunnels = tunnels_new(worker->base, &worker->load);
	worker->inbox = inbox_new(worker->base, worker);
	return worker->resolver != NULL && worker->tunnels != NULL && worker->inbox != NULL;
}

struct worker *
worker_start(const struct worker_request *request, struct err *err)
{
	struct worker *worker = calloc(1, sizeof *worker);

	if (worker == NULL)
		goto no_memory;
	atomic_init(&worker->load, 0);
	list_init(&worker->tasks);
	list_init(&worker->generations);
	worker->request = *request;
	worker->request.setup = NULL;
	health_book_init(&worker->healths);
	worker->on_way = (struct step_observer){.on_step = on_way_step, .arg = worker};
	worker->scratch.size = SCRATCH_SIZE;
	worker->scratch.bytes = malloc(SCRATCH_SIZE);
	if (worker->scratch.bytes == NULL || !make_loop(worker) || !renew(worker, request->setup))
		goto no_memory;
	if (start_thread(worker, err))
		return worker;
	worker_stop(worker);
	return NULL;
no_memory:
	worker_stop(worker);
	(void)err_set(err, "cannot make a worker: out of memory or descriptors");
	return NULL;
}

bool
worker_submit(struct worker *worker, const struct worker_client *client)
{
	struct client_message *message = calloc(1, sizeof *message);

	if (message == NULL)
		return false;
	message->message.receive = receive_client;
	message->client = *client;
	(void)atomic_fetch_add_explicit(&worker->load, 1, memory_order_relaxed);
	worker_post(worker, &message->message);
	return true;
}

void
worker_post(struct worker *worker, struct message *message)
{
	inbox_post(worker->inbox, message);
}

/* Posts a message that says nothing but what to do. */
static bool
tell(struct worker *worker, message_receive_cb *receive)
{
	struct message *message = calloc(1, sizeof *message);

	if (message == NULL)
		return false;
	message->receive = receive;
	worker_post(worker, message);
	return true;
}

void
worker_renew(struct worker *worker, struct setup *setup)
{
	struct setup_message *message = calloc(1, sizeof *message);

	if (message == NULL)
		return;
	message->message.receive = receive_setup;
	message->setup = setup_ref(setup);
	worker_post(worker, &message->message);
}

int
worker_load(const struct worker *worker)
{
	return atomic_load_explicit(&worker->load, memory_order_relaxed);
}

void
worker_warm_up(struct worker *worker)
{
	/* Without memory nothing is ready beforehand. */
	(void)tell(worker, receive_warm_up);
}

void
worker_wake(struct worker *worker)
{
	/* Without memory everything is looked at in its time. */
	(void)tell(worker, receive_wake);
}

void
worker_tell_demotion(struct worker *worker, const struct demotion *demotion)
{
	struct demotion *copy = demotion_copy(demotion);

	if (copy == NULL)
		return;
	copy->message.receive = receive_demotion;
	worker_post(worker, &copy->message);
}

void
worker_list_tunnels(struct worker *worker)
{
	/* Without memory nobody needs a list more than memory. */
	(void)tell(worker, receive_list);
}

void
worker_drain(struct worker *worker, struct message *when_empty, struct inbox *inbox)
{
	struct drain_message *message = calloc(1, sizeof *message);

	/* Without memory its tunnels are not drained but stopped, when the time is over. */
	if (message == NULL)
		return;
	message->message.receive = receive_drain;
	message->when_empty = when_empty;
	message->inbox = inbox;
	worker_post(worker, &message->message);
}

static void
end_thread(struct worker *worker)
{
	/* Without memory for a message there is no orderly end; the process is about to exit. */
	if (!tell(worker, receive_stop))
		abort();
	(void)pthread_join(worker->thread, NULL);
}

void
worker_stop(struct worker *worker)
{
	if (worker == NULL)
		return;
	if (worker->is_running)
		end_thread(worker);

	/* Clients that came after the stop message become tunnels that end at once. */
	inbox_free(worker->inbox);
	if (worker->tunnels != NULL)
		tunnels_stop(worker->tunnels);
	while (!list_is_empty(&worker->tasks)) {
		struct worker_task *task = LIST_ITEM(worker->tasks.next, struct worker_task, link);
		list_remove(&task->link);
		task->cancel(task);
	}
	generation_unref(worker->generation);
	if (worker->base != NULL)
		proxy_command_finish(worker->base);
	resolver_free(worker->resolver);
	tunnels_free(worker->tunnels);
	if (worker->base != NULL)
		event_base_free(worker->base);
	health_book_done(&worker->healths);
	free(worker->scratch.bytes);
	free(worker);
}

struct event_base *
worker_base(struct worker *worker)
{
	return worker->base;
}

struct resolver *
worker_resolver(struct worker *worker)
{
	return worker->resolver;
}

struct scratch *
worker_scratch(struct worker *worker)
{
	return &worker->scratch;
}

void
worker_add_task(struct worker *worker, struct worker_task *task)
{
	list_append(&worker->tasks, &task->link);
}

bool
worker_has_task(const struct worker *worker)
{
	return !list_is_empty(&worker->tasks);
}

struct generation *
worker_generation(const struct worker *worker)
{
	return worker->generation;
}

const struct list *
worker_generations(const struct worker *worker)
{
	return &worker->generations;
}

struct health_book *
worker_health_book(struct worker *worker)
{
	return &worker->healths;
}

struct tunnels *
worker_tunnels(const struct worker *worker)
{
	return worker->tunnels;
}
