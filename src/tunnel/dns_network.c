#include "tunnel/dns_network.h"

#include "base/attributes.h"
#include "base/compat.h"
#include "base/list.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

/* A question is asked again after 1, 2, 4 and 8 s: a lost packet costs one second, and the
 * whole takes longer than anybody waits by default (TIMEOUTconnect). */
enum { FIRST_TIMEOUT_MS = 1000, TRIES = 4 };

/* What fits through any network unfragmented: the size that DNS software agreed on in 2020. */
enum { EDNS_SIZE = 1232 };

struct dns_network {
	struct event_base *base; /* borrowed */
	ares_channel channel;    /* owned; NULL: it could not be made, and is tried again */
	struct event timer;      /* when c-ares wants to be called next */
	struct list sockets;     /* struct dns_socket: those that c-ares has open */
	bool is_closing;         /* the channel's callbacks come from its own end */
};

/* A socket of c-ares's, and what it waits for. */
struct dns_socket {
	struct list link;
	struct dns_network *network;
	ares_socket_t fd;
	struct event event;
};

static void
arm_timer(struct dns_network *network)
{
	struct timeval wait;

	if (network->channel != NULL && ares_timeout(network->channel, NULL, &wait) != NULL)
		(void)event_add(&network->timer, &wait);
	else
		(void)event_del(&network->timer);
}

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct dns_network *network = arg;

	if (network->channel != NULL)
		ares_process_fd(network->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm_timer(network);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct dns_socket *own = arg;
	struct dns_network *network = own->network; /* `own` may be gone after the call */

	ares_process_fd(network->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
			what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	arm_timer(network);
}

static struct dns_socket *
find_socket(struct dns_network *network, ares_socket_t fd)
{
	for (struct list *link = network->sockets.next; link != &network->sockets;
	     link = link->next) {
		struct dns_socket *own = LIST_ITEM(link, struct dns_socket, link);
		if (own->fd == fd)
			return own;
	}
	return NULL;
}

static void
forget_socket(struct dns_socket *own)
{
	(void)event_del(&own->event);
	list_remove(&own->link);
	free(own);
}

/* c-ares tells what each of its sockets waits for; neither: it is about to be closed. */
static void
on_socket_state(void *arg, ares_socket_t fd, int wants_read, int wants_write)
{
	struct dns_network *network = arg;
	struct dns_socket *own = find_socket(network, fd);
	short events = (short)((wants_read ? EV_READ : 0) | (wants_write ? EV_WRITE : 0));

	if (events == 0) {
		if (own != NULL)
			forget_socket(own);
		return;
	}
	if (own == NULL) {
		own = calloc(1, sizeof *own);
		if (own == NULL)
			return; /* the question then times out */
		own->network = network;
		own->fd = fd;
		list_append(&network->sockets, &own->link);
	} else {
		(void)event_del(&own->event);
	}
	(void)event_assign(&own->event, network->base, fd, (short)(events | EV_PERSIST), on_socket,
			   own);
	(void)event_add(&own->event, NULL);
}

bool
dns_network_open(struct dns_network *network, const char *servers)
{
	char lookups[] = "b";
	struct ares_options options = {
		.lookups = lookups,
		.flags = ARES_FLAG_EDNS,
		.ednspsz = EDNS_SIZE,
		.timeout = FIRST_TIMEOUT_MS,
		.tries = TRIES,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = network,
	};
	int mask = ARES_OPT_LOOKUPS | ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS |
		   ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;

	compat_ares_switch_cache_off(&options, &mask);
	if (ares_init_options(&network->channel, &options, mask) != ARES_SUCCESS) {
		network->channel = NULL;
		return false;
	}
	if (servers == NULL ||
	    ares_set_servers_ports_csv(network->channel, servers) == ARES_SUCCESS)
		return true;
	ares_destroy(network->channel);
	network->channel = NULL;
	return false;
}

void
dns_network_close(struct dns_network *network)
{
	ares_channel channel = network->channel;

	network->is_closing = true;
	network->channel = NULL;
	if (channel != NULL)
		ares_destroy(channel);
	network->is_closing = false;
	while (!list_is_empty(&network->sockets))
		forget_socket(LIST_ITEM(network->sockets.next, struct dns_socket, link));
}

bool
dns_network_is_closing(const struct dns_network *network)
{
	return network->is_closing;
}

bool
dns_network_ask(struct dns_network *network, const char *servers, const char *host, int family,
		ares_addrinfo_callback on_answer, void *arg)
{
	const struct ares_addrinfo_hints hints = {
		.ai_family = family,
		.ai_socktype = SOCK_STREAM,
	};

	if (network->channel == NULL && !dns_network_open(network, servers))
		return false;
	ares_getaddrinfo(network->channel, host, NULL, &hints, on_answer, arg);
	arm_timer(network);
	return true;
}

struct dns_network *
dns_network_new(struct event_base *base)
{
	struct dns_network *network = calloc(1, sizeof *network);

	if (network == NULL)
		return NULL;
	network->base = base;
	list_init(&network->sockets);
	(void)event_assign(&network->timer, base, -1, 0, on_timer, network);
	return network;
}

void
dns_network_free(struct dns_network *network)
{
	if (network == NULL)
		return;
	(void)event_del(&network->timer);
	free(network);
}
