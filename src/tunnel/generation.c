#include "tunnel/generation.h"

#include "base/list.h"
#include "stream/tls_sessions.h"
#include "tunnel/demotion.h"
#include "tunnel/endpoints.h"
#include "tunnel/health.h"
#include "tunnel/hold.h"
#include "tunnel/resolver.h"
#include "tunnel/session_pool.h"
#include "tunnel/spread.h"
#include "tunnel/warm.h"
#include "tunnel/watch.h"

#include <stdlib.h>
#include <string.h>

struct generation_service {
	struct tls_sessions *sessions; /* owned; NULL where resuming is off */
	struct health *health;         /* borrowed from the worker */
	struct endpoints *endpoints;   /* owned */
	struct hold *hold;             /* owned */
	struct warm *warm;             /* owned; NULL: none are kept */
	struct spread *spread;         /* owned; NULL where the role is another */
	/* Owned, for each endpoint; NULL where nobody watches. A primary's tunnels do, and warm
	 * connections, unless they are to replicas, whose answers rotate. */
	struct watch **watches;
};

struct generation {
	struct list link; /* among those that live */
	unsigned references;
	struct generation_place place;
	struct setup *setup;                 /* one reference */
	struct generation_service *services; /* owned; as many as the setup has */
	/* For each bastion one reference; NULL: another worker's. */
	struct session_pool **pools;
};

static void
on_demoted(void *arg, const struct watch *watch, const struct resolved_address *address)
{
	const struct generation *generation = arg;
	const struct demotion demotion = {
		.setup = generation->setup,
		.service = watch_service(watch),
		.endpoint = watch_endpoint(watch),
		.address = *address,
		.heard_by = generation->place.worker_index,
	};

	generation->place.on_demotion(generation->place.arg, &demotion);
}

static bool
make_watches(struct generation *generation, const struct service *service,
	     struct generation_service *own)
{
	size_t count = service->options.connect.count;

	own->watches = calloc(count, sizeof(struct watch *));
	for (size_t i = 0; own->watches != NULL && i < count; i++) {
		const struct watch_request request = {
			.base = generation->place.base,
			.resolver = generation->place.resolver,
			.service = service,
			.endpoint = i,
			.health = own->health,
			.on_demoted = on_demoted,
			.arg = generation,
		};
		own->watches[i] = watch_new(&request);
		if (own->watches[i] == NULL)
			return false;
	}
	return own->watches != NULL;
}

static void
free_watches(const struct service *service, struct generation_service *own)
{
	for (size_t i = 0; own->watches != NULL && i < service->options.connect.count; i++)
		watch_free(own->watches[i]);
	free(own->watches);
}

static bool
is_watched(const struct service_options *options)
{
	return options->role == ROLE_PRIMARY || (options->role == ROLE_ANY && options->warm > 0);
}

static bool
make_service(struct generation *generation, const struct setup_service *service)
{
	const struct service_options *options = &service->service->options;
	struct generation_service *own = &generation->services[service->service->index];

	own->health = health_book_get(generation->place.healths, service->stats);
	if (own->health == NULL)
		return false;
	if (service->tls != NULL && options->session_resume)
		own->sessions = tls_sessions_new(options->connect.count,
						 (size_t)options->session_cache_size,
						 options->session_cache_timeout_s);
	own->hold = hold_new(generation->place.base);
	if (own->hold == NULL)
		return false;
	if (is_watched(options) && !make_watches(generation, service->service, own))
		return false;
	if (options->role == ROLE_REPLICA)
		own->spread = spread_new();
	return options->role != ROLE_REPLICA || own->spread != NULL;
}

/* A check goes straight there: it asks nobody which endpoint, and every address will do. */
static bool
make_endpoints(struct generation *generation, size_t index)
{
	struct dial_request check = generation_dial_request(generation, index);

	check.watches = NULL;
	check.spread = NULL;
	check.observer = NULL; /* its failures are no client's */
	generation->services[index].endpoints = endpoints_new(&check);
	return generation->services[index].endpoints != NULL;
}

static bool
make_all_endpoints(struct generation *generation)
{
	for (size_t i = 0; i < setup_config(generation->setup)->service_count; i++) {
		if (!make_endpoints(generation, i))
			return false;
	}
	return true;
}

static bool
make_services(struct generation *generation)
{
	size_t count = setup_config(generation->setup)->service_count;

	generation->services = calloc(count, sizeof *generation->services);
	if (generation->services == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!make_service(generation, setup_get_service(generation->setup, i)))
			return false;
	}
	return true;
}

/* A bastion, and all that is hopped through before it, belong to one worker: that of the first
 * hop. */
static size_t
owner_of(const struct bastion *bastion, size_t count)
{
	while (bastion->via != NULL)
		bastion = bastion->via;
	return bastion->index % count;
}

bool
generation_find_owner(const struct service *service, size_t count, size_t *ret_index)
{
	if (service->bastion == NULL)
		return false;
	*ret_index = owner_of(service->bastion, count);
	return true;
}

/* The pool of the same bastion in the generation before; NULL: none. */
static struct session_pool *
find_pool(const struct generation *generation, const struct generation *previous,
	  const struct bastion *bastion)
{
	if (previous == NULL)
		return NULL;
	const struct bastion *same = setup_find_same_bastion(generation->setup, previous->setup,
							     bastion);
	return same != NULL ? previous->pools[same->index] : NULL;
}

/* Makes the pool of a bastion, and first those that it goes through; or shares it. */
static bool
make_pool(struct generation *generation, const struct generation *previous,
	  const struct bastion *bastion)
{
	struct session_pool **pools = generation->pools;
	struct session_pool *shared = NULL;

	if (pools[bastion->index] != NULL)
		return true;
	if (bastion->via != NULL && !make_pool(generation, previous, bastion->via))
		return false;
	shared = find_pool(generation, previous, bastion);
	if (shared != NULL) {
		pools[bastion->index] = session_pool_ref(shared);
		session_pool_retry(shared); /* known hosts or authorized keys may be others now */
		return true;
	}
	const struct session_pool_request request = {
		.base = generation->place.base,
		.resolver = generation->place.resolver,
		.setup = generation->setup,
		.bastion = bastion,
		.observer = generation->place.observer,
		.via = bastion->via != NULL ? pools[bastion->via->index] : NULL,
	};
	pools[bastion->index] = session_pool_new(&request);
	return pools[bastion->index] != NULL;
}

static bool
make_pools(struct generation *generation, const struct generation *previous)
{
	const struct config *config = setup_config(generation->setup);
	const struct generation_place *place = &generation->place;

	generation->pools = calloc(config->bastion_count + 1, sizeof(struct session_pool *));
	if (generation->pools == NULL)
		return false;
	for (size_t i = 0; i < config->bastion_count; i++) {
		if (owner_of(config->bastions[i], place->worker_count) == place->worker_index &&
		    !make_pool(generation, previous, config->bastions[i]))
			return false;
	}
	return true;
}

struct generation *
generation_new(const struct generation_place *place, struct setup *setup,
	       const struct generation *previous)
{
	struct generation *generation = calloc(1, sizeof *generation);

	if (generation == NULL)
		return NULL;
	list_init(&generation->link);
	if (place->living != NULL)
		list_append(place->living, &generation->link);
	generation->references = 1;
	generation->place = *place;
	generation->setup = setup_ref(setup);
	resolver_configure(place->resolver, &setup_config(setup)->global);
	if (make_services(generation) && make_pools(generation, previous) &&
	    make_all_endpoints(generation))
		return generation;
	generation_unref(generation);
	return NULL;
}

struct generation *
generation_ref(struct generation *generation)
{
	generation->references++;
	return generation;
}

void
generation_unref(struct generation *generation)
{
	if (generation == NULL || --generation->references > 0)
		return;
	list_remove(&generation->link);
	const struct config *config = setup_config(generation->setup);
	for (size_t i = 0; generation->services != NULL && i < config->service_count; i++) {
		warm_free(generation->services[i].warm);
		endpoints_free(generation->services[i].endpoints);
		tls_sessions_free(generation->services[i].sessions);
		hold_free(generation->services[i].hold);
		spread_free(generation->services[i].spread);
		free_watches(config->services[i], &generation->services[i]);
	}
	/* After the warm connections, which may be channels of theirs. */
	for (size_t i = 0; generation->pools != NULL && i < config->bastion_count; i++)
		session_pool_unref(generation->pools[i]);
	free(generation->pools);
	free(generation->services);
	setup_unref(generation->setup);
	free(generation);
}

void
generation_retire(struct generation *generation)
{
	if (generation == NULL)
		return;
	for (size_t i = 0; i < setup_config(generation->setup)->service_count; i++) {
		warm_free(generation->services[i].warm);
		generation->services[i].warm = NULL;
		endpoints_retire(generation->services[i].endpoints);
	}
}

static void
log_in_to_eager_ones(const struct generation *generation)
{
	const struct config *config = setup_config(generation->setup);

	for (size_t i = 0; i < config->bastion_count; i++) {
		if (generation->pools[i] != NULL && config->bastions[i]->options.is_eager)
			session_pool_warm_up(generation->pools[i]);
	}
}

/* A service through a bastion has its tunnels, and so its warm connections, where the bastion's
 * sessions are. Without memory there are none. */
static void
keep_warm_ones(struct generation *generation)
{
	for (size_t i = 0; i < setup_config(generation->setup)->service_count; i++) {
		const struct service *service = setup_get_service(generation->setup, i)->service;
		const struct dial_request request = generation_dial_request(generation, i);
		struct generation_service *own = &generation->services[i];
		if (service->options.warm == 0 || own->warm != NULL ||
		    (service->bastion != NULL && request.pool == NULL))
			continue;
		own->warm = warm_new(&request, (size_t)service->options.warm);
	}
}

void
generation_warm_up(struct generation *generation)
{
	log_in_to_eager_ones(generation);
	keep_warm_ones(generation);
}

static void
wake_service(const struct service *service, const struct generation_service *own)
{
	endpoints_check_now(own->endpoints);
	warm_renew(own->warm);
	for (size_t i = 0; own->watches != NULL && i < service->options.connect.count; i++)
		watch_look_now(own->watches[i]);
}

void
generation_wake(struct generation *generation)
{
	const struct config *config = setup_config(generation->setup);

	for (size_t i = 0; i < config->service_count; i++)
		wake_service(config->services[i], &generation->services[i]);
	for (size_t i = 0; i < config->bastion_count; i++) {
		if (generation->pools[i] != NULL)
			session_pool_wake(generation->pools[i]);
	}
}

void
generation_hear_demotion(struct generation *generation, const struct demotion *demotion)
{
	const struct config *config = setup_config(generation->setup);
	const struct service *heard = setup_config(demotion->setup)->services[demotion->service];
	const struct address *endpoint = &heard->options.connect.items[demotion->endpoint];

	/* By name: a reload may have changed all else. */
	for (size_t i = 0; i < config->service_count; i++) {
		const struct service *service = config->services[i];
		const struct address_list *connect = &service->options.connect;
		if (strcmp(service->name, heard->name) != 0 ||
		    service->options.role != ROLE_PRIMARY)
			continue;
		for (size_t j = 0; j < connect->count; j++) {
			if (address_compare(&connect->items[j], endpoint) == 0)
				(void)watch_hear_demoted(generation->services[i].watches[j],
							 &demotion->address);
		}
	}
}

struct generation *
generation_of(struct list *link)
{
	return LIST_ITEM(link, struct generation, link);
}

struct setup *
generation_setup(const struct generation *generation)
{
	return generation->setup;
}

struct tls_sessions *
generation_tls_sessions(const struct generation *generation, size_t service_index)
{
	return generation->services[service_index].sessions;
}

struct session_pool *
generation_session_pool(const struct generation *generation, size_t service_index)
{
	const struct service *service =
		setup_get_service(generation->setup, service_index)->service;

	return service->bastion != NULL ? generation->pools[service->bastion->index] : NULL;
}

struct watch *const *
generation_watches(const struct generation *generation, size_t service_index)
{
	const struct service *service =
		setup_get_service(generation->setup, service_index)->service;

	return service->options.role == ROLE_PRIMARY ? generation->services[service_index].watches
						     : NULL;
}

struct dial_request
generation_dial_request(struct generation *generation, size_t service_index)
{
	const struct generation_service *own = &generation->services[service_index];

	return (struct dial_request){
		.base = generation->place.base,
		.resolver = generation->place.resolver,
		.service = setup_get_service(generation->setup, service_index),
		.sessions = own->sessions,
		.pool = generation_session_pool(generation, service_index),
		.endpoints = own->endpoints,
		.watches = own->watches,
		.spread = own->spread,
		.observer = &own->health->observer,
		.log = &log_main,
	};
}

struct warm *
generation_warm(const struct generation *generation, size_t service_index)
{
	return generation->services[service_index].warm;
}

struct spread *
generation_spread(const struct generation *generation, size_t service_index)
{
	return generation->services[service_index].spread;
}

struct hold *
generation_hold(const struct generation *generation, size_t service_index)
{
	return generation->services[service_index].hold;
}

const struct generation_place *
generation_place(const struct generation *generation)
{
	return &generation->place;
}

struct health *
generation_health(const struct generation *generation, size_t service_index)
{
	return generation->services[service_index].health;
}

struct endpoints *
generation_endpoints(const struct generation *generation, size_t service_index)
{
	return generation->services[service_index].endpoints;
}
