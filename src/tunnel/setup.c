#include "tunnel/setup.h"

#include "base/memory.h"
#include "base/text.h"
#include "ssh/credentials.h"
#include "stream/tls_context.h"
#include "tunnel/headcount.h"
#include "tunnel/socket_setup.h"
#include "tunnel/stats.h"

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
	int room;                  /* clients that the descriptors allow; 0: any number */
	struct headcount *clients; /* one reference */
};

/* Looks up addresses of this very machine, which may block. Returns getaddrinfo()'s failure. */
static int
look_up(const char *host, const char *port, struct resolved *ret_resolved)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	int failure = getaddrinfo(host, port, &hints, &found);

	if (failure != 0)
		return failure;
	for (const struct addrinfo *item = found; item != NULL; item = item->ai_next) {
		struct resolved_address address = {.length = item->ai_addrlen};
		memcpy(&address.storage, item->ai_addr, item->ai_addrlen);
		/* A name that stands in /etc/hosts twice has the same address twice. */
		if (!resolved_contains(ret_resolved, &address))
			(void)resolved_add(ret_resolved, item->ai_addr, item->ai_addrlen);
	}
	freeaddrinfo(found);
	return 0;
}

static void
resolve_source(struct setup_service *service, struct report *report)
{
	const char *local = service->service->options.local;
	int failure = local != NULL ? look_up(local, NULL, &service->source) : 0;

	if (failure != 0)
		report_add(report, REPORT_ERROR, service_option_at(service->service, "local"),
			   "cannot look up local = %s: %s", local, gai_strerror(failure));
}

static void
resolve_accepts(struct setup_service *service, struct report *report)
{
	const struct address_list *accepts = &service->service->options.accept;
	char shown[SOCKET_NAME_SIZE];

	service->accepts = memory_zero(accepts->count * sizeof *service->accepts);
	for (size_t i = 0; i < accepts->count; i++) {
		const struct address *address = &accepts->items[i];
		if (address_is_unix(address))
			continue;
		/* Loopback needs no lookup: no host at all means just that (RFC 3493, 6.1). */
		bool is_loopback = text_equal_nocase(address_host(address), "localhost");
		int failure = look_up(is_loopback ? NULL : address->host, address->port,
				      &service->accepts[i]);
		if (failure != 0)
			report_add(report, REPORT_ERROR, address->at,
				   "cannot look up accept = %s: %s",
				   address_format(address, shown, sizeof shown),
				   gai_strerror(failure));
	}
}

/* The service of this name in the setup before: the nth of it, should there be several. */
static const struct setup_service *
find_predecessor(const struct setup *previous, const struct config *config, size_t index)
{
	const char *name = config->services[index]->name;
	size_t nth = 0;

	if (previous == NULL)
		return NULL;
	for (size_t i = 0; i < index; i++)
		nth += strcmp(config->services[i]->name, name) == 0;
	for (size_t i = 0; i < previous->config->service_count; i++) {
		const struct setup_service *service = &previous->services[i];
		if (strcmp(service->service->name, name) == 0 && nth-- == 0)
			return service;
	}
	return NULL;
}

/* Services of one name are counted together (check_names() warns of them), across reloads too. */
static struct stats *
take_stats(const struct setup *setup, const struct setup_service *predecessor, const char *name)
{
	for (size_t i = 0; i < setup->config->service_count; i++) {
		struct stats *stats = setup->services[i].stats;
		if (stats != NULL && strcmp(stats->name, name) == 0)
			return stats_ref(stats);
	}
	return predecessor != NULL ? stats_ref(predecessor->stats) : stats_new(name);
}

static void
make_service(struct setup *setup, size_t index, const struct setup *previous, struct report *report)
{
	struct setup_service *service = &setup->services[index];
	const struct setup_service *predecessor = find_predecessor(previous, setup->config, index);

	service->service = setup->config->services[index];
	service->clients = predecessor != NULL ? headcount_ref(predecessor->clients)
					       : headcount_new();
	service->stats = take_stats(setup, predecessor, service->service->name);
	if (!service->service->options.plain)
		service->tls = tls_context_new(service->service, &setup->system_trust, report);
	resolve_source(service, report);
	resolve_accepts(service, report);
}

/* The bastion of the same name and origin; NULL: none. */
static const struct bastion *
find_bastion(const struct setup *setup, const struct bastion *bastion)
{
	if (setup == NULL)
		return NULL;
	for (size_t i = 0; i < setup->config->bastion_count; i++) {
		const struct bastion *candidate = setup->config->bastions[i];
		if (candidate->origin == bastion->origin &&
		    strcmp(candidate->name, bastion->name) == 0)
			return candidate;
	}
	return NULL;
}

static struct ssh_credentials *
load_credentials(const struct bastion *bastion, const struct setup *previous, struct report *report)
{
	const struct bastion *predecessor = find_bastion(previous, bastion);
	struct ssh_credentials_help help = {.may_ask = previous == NULL};

	if (previous != NULL && predecessor != NULL)
		help.previous = previous->credentials[predecessor->index];
	return ssh_credentials_load(bastion, &help, report);
}

const struct bastion *
setup_find_same_bastion(const struct setup *setup, const struct setup *other,
			const struct bastion *bastion)
{
	const struct bastion *found = find_bastion(other, bastion);

	if (found == NULL ||
	    !option_are_all_equal(&bastion_options_table, &bastion->options, &found->options) ||
	    !ssh_credentials_are_equal(setup->credentials[bastion->index],
				       other->credentials[found->index]))
		return NULL;
	if (bastion->via == NULL)
		return found->via == NULL ? found : NULL;
	return setup_find_same_bastion(setup, other, bastion->via) == found->via ? found : NULL;
}

struct setup *
setup_new(struct config *config, const struct setup *previous, struct report *report)
{
	struct setup *setup = memory_zero(sizeof *setup);

	atomic_init(&setup->references, 1);
	setup->config = config_ref(config);
	setup->max_clients = config->global.max_clients;
	setup->room = previous != NULL ? previous->room : 0;
	setup->clients = previous != NULL ? headcount_ref(previous->clients) : headcount_new();
	setup->services = memory_zero(config->service_count * sizeof *setup->services);
	for (size_t i = 0; i < config->service_count; i++)
		make_service(setup, i, previous, report);
	setup->credentials = memory_zero(config->bastion_count * sizeof(struct ssh_credentials *));
	for (size_t i = 0; i < config->bastion_count; i++)
		setup->credentials[i] = load_credentials(config->bastions[i], previous, report);
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
	for (size_t i = 0; i < setup->config->service_count; i++) {
		tls_context_free(setup->services[i].tls);
		headcount_unref(setup->services[i].clients);
		free(setup->services[i].accepts);
		stats_unref(setup->services[i].stats);
	}
	X509_STORE_free(setup->system_trust);
	for (size_t i = 0; i < setup->config->bastion_count; i++)
		ssh_credentials_free(setup->credentials[i]);
	free(setup->credentials);
	free(setup->services);
	headcount_unref(setup->clients);
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
	return setup->room == 0 || headcount_get(setup->clients) < setup->room;
}

static int
service_limit(const struct setup *setup, size_t service_index)
{
	return setup->services[service_index].service->options.max_clients;
}

enum admission
setup_admit(struct setup *setup, size_t service_index)
{
	if (!headcount_add(setup->clients, setup->max_clients))
		return ADMISSION_DAEMON_FULL;
	if (headcount_add(setup->services[service_index].clients,
			  service_limit(setup, service_index)))
		return ADMISSION_GRANTED;
	headcount_remove(setup->clients);
	return ADMISSION_SERVICE_FULL;
}

void
setup_release(struct setup *setup, size_t service_index)
{
	headcount_remove(setup->clients);
	headcount_remove(setup->services[service_index].clients);
}

int
setup_limit(const struct setup *setup, size_t service_index, enum admission admission)
{
	return admission == ADMISSION_SERVICE_FULL ? service_limit(setup, service_index)
						   : setup->max_clients;
}
