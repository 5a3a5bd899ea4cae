#ifndef CACHETUNNEL_TUNNEL_DNS_H
#define CACHETUNNEL_TUNNEL_DNS_H

#include "tunnel/resolved.h"

/*
 * Asks for a name's addresses: first /etc/hosts, then the name servers, over the network and
 * without blocking. It remembers nothing; that is the resolver's business. Nobody else sees
 * c-ares.
 *
 * /etc/hosts and /etc/resolv.conf are read again when they change, because a laptop changes
 * networks.
 */

struct event_base;
struct dns;

enum dns_status {
	DNS_FOUND,
	DNS_NO_NAME,   /* said with authority: no such name, or none of its addresses */
	DNS_NO_ANSWER, /* nobody gave a useful answer */
	DNS_NO_MEMORY,
};

struct dns_answer {
	enum dns_status status;
	const char *reason;        /* static; why, where there is no answer */
	struct resolved addresses; /* with port 0; IPv6 first */
};

/* The question is over. May come from inside dns_ask(), dns_refresh() and dns_set_servers(). */
typedef void dns_answer_cb(void *arg, const struct dns_answer *answer);

/* `base` is borrowed. Returns owned; NULL when memory ran out. */
struct dns *dns_new(struct event_base *base);

/* No callback comes any more. NULL is fine. */
void dns_free(struct dns *dns);

/* Asks these servers from now on, "ADDRESS[:PORT],…" (copied), or with NULL, as at first,
 * those that /etc/resolv.conf names. If they are others, questions under way are asked again. */
void dns_set_servers(struct dns *dns, const char *servers);

/* Looks whether the files have changed, which costs two stat() calls. True if so: what was
 * answered before counts no more. Questions under way are asked again. */
bool dns_refresh(struct dns *dns);

/* Asks for the addresses of `host` (copied). It cannot be taken back, but by dns_free(). */
void dns_ask(struct dns *dns, const char *host, dns_answer_cb *on_answer, void *arg);

#endif
