#include "tunnel/setup.h"

#include "base/memory.h"
#include "ssh/credentials.h"
#include "stream/tls_context.h"

#include <netdb.h>
#include <stdatomic.h>
#include <stdlib.h>

struct setup {
	atomic_int references;
	struct config *config;                /* one reference */
	X509_STORE *system_trust;             /* owned; NULL if no service needs it */
	struct ssh_credentials **credentials; /* owned; one for each bastion */
	struct setup_service *services;       /* owned */
	int max_clients;                      /* 0: no limit */
	int room; /* clients that the descriptors allow; 0: any number */
	atomic_int clients;
	atomic_int *service_clients; /* owned; one for each service */
};

/* `local` is looked up once: it is an address of this very machine. */
static void
resolve_source(struct setup_service *service, struct report *report)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	const char *local = service->service->options.local;
	struct addrinfo *found = NULL;

	if (local == NULL)
		return;
	int failure = getaddrinfo(local, NULL, &hints, &found);
	if (failure != 0) {
		report_add(report, REPORT_ERROR, service_option_at(service->service, "local"),
			   "cannot look up local = %s: %s", local, gai_strerror(failure));
		return;
	}
	struct resolved *source = &service->source;
	for (struct addrinfo *item = found; item != NULL; item = item->ai_next)
		(void)resolved_add(source, item->ai_addr, item->ai_addrlen);
	freeaddrinfo(found);
}

struct setup *
setup_new(struct config *config, struct report *report)
{
	struct setup *setup = memory_zero(sizeof *setup);

	atomic_init(&setup->references, 1);
	setup->config = config_ref(config);
	setup->max_clients = config->global.max_clients;
	setup->services = memory_zero(config->service_count * sizeof *setup->services);
	setup->service_clients =
		memory_zero(config->service_count * sizeof *setup->service_clients);
	for (size_t i = 0; i < config->service_count; i++) {
		struct setup_service *service = &setup->services[i];
		service->service = config->services[i];
		if (!service->service->options.plain)
			service->tls = tls_context_new(service->service, &setup->system_trust,
						       report);
		resolve_source(service, report);
	}
	setup->credentials = memory_zero(config->bastion_count * sizeof(struct ssh_credentials *));
	for (size_t i = 0; i < config->bastion_count; i++)
		setup->credentials[i] = ssh_credentials_load(config->bastions[i], report);
	if (report_count(report, REPORT_ERROR) == 0)
		return setup;
	setup_unref(setup);
	return NULL;
}

struct setup *
setup_ref(struct setup *setup)
{
	(void)atomic_fetch_add_explicit(&setup->references, 1, memory_order_relaxed);
	return setup;
}

void
setup_unref(struct setup *setup)
{
	if (setup == NULL ||
	    atomic_fetch_sub_explicit(&setup->references, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < setup->config->service_count; i++)
		tls_context_free(setup->services[i].tls);
	X509_STORE_free(setup->system_trust);
	for (size_t i = 0; i < setup->config->bastion_count; i++)
		ssh_credentials_free(setup->credentials[i]);
	free(setup->credentials);
	free(setup->services);
	free(setup->service_clients);
	config_unref(setup->config);
	free(setup);
}

const struct ssh_credentials *
setup_get_credentials(const struct setup *setup, size_t index)
{
	return setup->credentials[index];
}

const struct config *
setup_config(const struct setup *setup)
{
	return setup->config;
}

const struct setup_service *
setup_get_service(const struct setup *setup, size_t index)
{
	return &setup->services[index];
}

void
setup_set_room(struct setup *setup, int clients)
{
	setup->room = clients;
}

bool
setup_has_room(const struct setup *setup)
{
	return setup->room == 0 ||
	       atomic_load_explicit(&setup->clients, memory_order_relaxed) < setup->room;
}

static int
service_limit(const struct setup *setup, size_t service_index)
{
	return setup->services[service_index].service->options.max_clients;
}

/* Counts one more, unless that makes more than `limit` (0: none). */
static bool
count_up(atomic_int *counter, int limit)
{
	int now = atomic_fetch_add_explicit(counter, 1, memory_order_relaxed) + 1;

	if (limit == 0 || now <= limit)
		return true;
	(void)atomic_fetch_sub_explicit(counter, 1, memory_order_relaxed);
	return false;
}

enum admission
setup_admit(struct setup *setup, size_t service_index)
{
	if (!count_up(&setup->clients, setup->max_clients))
		return ADMISSION_DAEMON_FULL;
	if (count_up(&setup->service_clients[service_index], service_limit(setup, service_index)))
		return ADMISSION_GRANTED;
	(void)atomic_fetch_sub_explicit(&setup->clients, 1, memory_order_relaxed);
	return ADMISSION_SERVICE_FULL;
}

void
setup_release(struct setup *setup, size_t service_index)
{
	(void)atomic_fetch_sub_explicit(&setup->clients, 1, memory_order_relaxed);
	(void)atomic_fetch_sub_explicit(&setup->service_clients[service_index], 1,
					memory_order_relaxed);
}

int
setup_limit(const struct setup *setup, size_t service_index, enum admission admission)
{
	return admission == ADMISSION_SERVICE_FULL ? service_limit(setup, service_index)
						   : setup->max_clients;
}
