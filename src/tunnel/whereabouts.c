#include "tunnel/whereabouts.h"

#include "config/address.h"
#include "tunnel/endpoints.h"
#include "tunnel/generation.h"
#include "tunnel/hold.h"
#include "tunnel/warm.h"

#include <stdio.h>
#include <string.h>

static struct whereabouts_endpoint *
find_endpoint(struct whereabouts *whereabouts, const char *address)
{
	for (size_t i = 0; i < whereabouts->endpoint_count; i++) {
		if (strcmp(whereabouts->endpoints[i].address, address) == 0)
			return &whereabouts->endpoints[i];
	}
	return NULL;
}

/* It is down if it is for anybody, and as that one says. */
static void
add_endpoint(struct whereabouts *whereabouts, const struct whereabouts_endpoint *endpoint)
{
	struct whereabouts_endpoint *known = find_endpoint(whereabouts, endpoint->address);

	if (known == NULL) {
		if (whereabouts->endpoint_count < WHEREABOUTS_MAX_ENDPOINTS)
			whereabouts->endpoints[whereabouts->endpoint_count++] = *endpoint;
		return;
	}
	unsigned long open = known->open + endpoint->open;
	bool is_telling = endpoint->is_up == known->is_up ? endpoint->since_us > known->since_us
							  : !endpoint->is_up;
	if (is_telling)
		*known = *endpoint;
	known->open = open;
}

static void
collect_endpoints(struct whereabouts *whereabouts, const struct endpoints *endpoints)
{
	for (size_t i = 0; i < endpoints_count(endpoints); i++) {
		struct whereabouts_endpoint endpoint;
		struct endpoint_view view;
		endpoints_view(endpoints, i, &view);
		endpoint = (struct whereabouts_endpoint){
			.is_up = view.is_up,
			.since_us = view.since_us,
			.since_ms = view.since_ms,
			.open = view.open,
		};
		(void)address_format(view.address, endpoint.address, sizeof endpoint.address);
		(void)snprintf(endpoint.reason, sizeof endpoint.reason, "%s",
			       view.reason != NULL ? view.reason : "");
		add_endpoint(whereabouts, &endpoint);
	}
}

static void
add_address(struct whereabouts *whereabouts, const char *name, unsigned long tunnels)
{
	struct whereabouts_address *addresses = whereabouts->addresses;
	size_t count = whereabouts->address_count;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(addresses[i].name, name) == 0) {
			addresses[i].tunnels += tunnels;
			return;
		}
	}
	if (count == WHEREABOUTS_MAX_ADDRESSES)
		return;
	(void)snprintf(addresses[count].name, sizeof addresses[count].name, "%s", name);
	addresses[count].tunnels = tunnels;
	whereabouts->address_count++;
}

void
whereabouts_collect(struct whereabouts *whereabouts, const struct generation *generation,
		    size_t service_index)
{
	whereabouts->held += hold_count(generation_hold(generation, service_index));
	whereabouts->warm += warm_count(generation_warm(generation, service_index));
	collect_endpoints(whereabouts, generation_endpoints(generation, service_index));
}

void
whereabouts_collect_past(struct whereabouts *whereabouts, const struct generation *generation,
			 size_t service_index)
{
	const struct endpoints *endpoints = generation_endpoints(generation, service_index);

	whereabouts->held += hold_count(generation_hold(generation, service_index));
	for (size_t i = 0; i < endpoints_count(endpoints); i++) {
		char address[SOCKET_NAME_SIZE];
		struct endpoint_view view;
		endpoints_view(endpoints, i, &view);
		struct whereabouts_endpoint *known = find_endpoint(
			whereabouts, address_format(view.address, address, sizeof address));
		if (known != NULL)
			known->open += view.open;
	}
}

void
whereabouts_add_tunnel(struct whereabouts *whereabouts, const char *server)
{
	add_address(whereabouts, server, 1);
}

void
whereabouts_merge(struct whereabouts *into, const struct whereabouts *other)
{
	into->held += other->held;
	into->warm += other->warm;
	for (size_t i = 0; i < other->endpoint_count; i++)
		add_endpoint(into, &other->endpoints[i]);
	for (size_t i = 0; i < other->address_count; i++)
		add_address(into, other->addresses[i].name, other->addresses[i].tunnels);
}
