#ifndef CACHETUNNEL_TUNNEL_DNS_NETWORK_H
#define CACHETUNNEL_TUNNEL_DNS_NETWORK_H

#include <ares.h>
#include <stdbool.h>

/*
 * c-ares in an event loop, without threads: its sockets and its clock become events. Private to
 * dns.c, which makes answers of what comes back.
 */

struct dns_network;
struct event_base;

/* `base` is borrowed. Not open yet. Returns owned; NULL: no memory. */
struct dns_network *dns_network_new(struct event_base *base);

/* Closed by then. NULL is fine. */
void dns_network_free(struct dns_network *network);

/* To these servers, "ADDRESS[:PORT],…"; NULL: those of /etc/resolv.conf. False: no memory. */
bool dns_network_open(struct dns_network *network, const char *servers);

/* Calls back for every question that is under way; dns_network_is_closing() meanwhile. */
void dns_network_close(struct dns_network *network);
bool dns_network_is_closing(const struct dns_network *network);

/* Asks for the addresses of `host` in one family (AF_INET, AF_INET6), and opens first if need be.
 * `on_answer` comes exactly once, perhaps from inside. False, and it does not come: it could not
 * be opened. */
bool dns_network_ask(struct dns_network *network, const char *servers, const char *host, int family,
		     ares_addrinfo_callback on_answer, void *arg);

#endif
