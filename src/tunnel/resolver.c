#include "tunnel/resolver.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "config/options.h"
#include "tunnel/dns.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* For how long a failure is remembered: long enough that a rush of clients does not become a
 * rush of questions. */
enum { FAILURE_S = 1 };

/* For how long a name's last good answer may stand in (RFC 8767, 5). */
enum { STALE_S = 3600 };

/* How many names are remembered. A configuration has a few; the rest are those of older ones. */
enum { MAX_NAMES = 512 };

/* How long an answer may take before the last good one stands in: RFC 8767's client response
 * timer, which is below the 2 s that many give up after. */
static const struct timeval patience = {.tv_sec = 1, .tv_usec = 800 * 1000};

static const uint64_t second_us = 1000000;

enum name_state {
	NAME_IDLE,
	NAME_ASKING,
	NAME_ASKING_LATE, /* the answer is late, and the last good one stands in */
};

/* A name, and what is known about it. */
struct name {
	struct list link; /* in the resolver's, last used first */
	struct resolver *resolver;
	enum name_state state;   /* written by set_state() only */
	struct list waiting;     /* lookups */
	struct event patience;   /* while asking, where there is an answer to fall back on */
	struct resolved good;    /* the last good answer, ports 0; count 0: none */
	uint64_t answered_us;    /* when that came */
	uint64_t fresh_until_us; /* until when it is used without asking again */
	uint64_t failed_until_us;
	struct err failure;  /* while that lasts */
	bool is_standing_in; /* the log has said that the last answer is used */
	char host[];
};

struct resolver {
	struct event_base *base; /* borrowed */
	struct dns *dns;         /* owned */
	uint64_t cache_us;
	struct list names;
	size_t name_count;
};

struct lookup {
	struct list link; /* among the waiting ones of its name, or in no list */
	resolver_done_cb *on_done;
	void *arg;
	uint16_t port;
	struct event deliver; /* hands over an answer, outside of every caller's stack */
	struct resolved resolved;
	struct err err; /* where there is no address */
};

static void
set_state(struct name *name, enum name_state state)
{
	assert(name->state != state);
	assert(state != NAME_ASKING_LATE || name->state == NAME_ASKING);
	name->state = state;
}

/* --- Lookups --------------------------------------------------------------------------------- */

static void
on_deliver(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct lookup *lookup = arg;

	lookup->on_done(lookup->arg, lookup->resolved.count > 0 ? &lookup->resolved : NULL,
			lookup->resolved.count > 0 ? NULL : &lookup->err);
	free(lookup);
}

static void
deliver(struct lookup *lookup)
{
	list_remove(&lookup->link);
	event_active(&lookup->deliver, EV_TIMEOUT, 0);
}

static void
deliver_good(struct lookup *lookup, const struct name *name, bool is_stale)
{
	uint64_t now_us = clock_now_us();

	lookup->resolved = name->good;
	lookup->resolved.is_stale = is_stale;
	lookup->resolved.fresh_s = 0;
	if (name->fresh_until_us > now_us)
		lookup->resolved.fresh_s = (int)((name->fresh_until_us - now_us) / second_us);
	resolved_set_port(&lookup->resolved, lookup->port);
	deliver(lookup);
}

static void
deliver_failure(struct lookup *lookup, const struct name *name)
{
	lookup->err = name->failure;
	deliver(lookup);
}

static struct lookup *
new_lookup(struct resolver *resolver, resolver_done_cb *on_done, void *arg)
{
	struct lookup *lookup = calloc(1, sizeof *lookup);

	if (lookup == NULL)
		return NULL;
	list_init(&lookup->link);
	lookup->on_done = on_done;
	lookup->arg = arg;
	(void)event_assign(&lookup->deliver, resolver->base, -1, 0, on_deliver, lookup);
	return lookup;
}

/* Where a literal address is all there is to look up. */
static bool
read_literal(struct lookup *lookup, const char *host)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST,
	};
	struct addrinfo *found = NULL;

	if (getaddrinfo(host, NULL, &hints, &found) != 0)
		return false;
	(void)resolved_add(&lookup->resolved, found->ai_addr, found->ai_addrlen);
	lookup->resolved.fresh_s = INT32_MAX;
	resolved_set_port(&lookup->resolved, lookup->port);
	freeaddrinfo(found);
	return lookup->resolved.count > 0;
}

/* A service's name is found in a file of the system, which the start has checked. */
static bool
read_port(struct lookup *lookup, const char *port)
{
	const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	long number = 0;

	if (!text_to_long(port, 1, UINT16_MAX, &number)) {
		if (getaddrinfo(NULL, port, &hints, &found) != 0)
			return err_set(&lookup->err, "there is no port named '%s'", port);
		number =
			ntohs(((const struct sockaddr_in *)(const void *)found->ai_addr)->sin_port);
		freeaddrinfo(found);
	}
	lookup->port = (uint16_t)number;
	return true;
}

/* --- Names ----------------------------------------------------------------------------------- */

static void
free_name(struct name *name)
{
	(void)event_del(&name->patience);
	list_remove(&name->link);
	name->resolver->name_count--;
	free(name);
}

static bool
may_stand_in(const struct name *name)
{
	return name->good.count > 0 && clock_now_us() - name->answered_us < STALE_S * second_us;
}

/* Those who wait get the last good answer. */
static void
stand_in(struct name *name, const char *why)
{
	if (!name->is_standing_in) {
		uint64_t age_s = (clock_now_us() - name->answered_us) / second_us;
		log_write(&log_main, LOG_LEVEL_WARNING,
			  "'%s' cannot be looked up now (%s): its last address, of %u s ago, is "
			  "used for an hour at most",
			  name->host, why, (unsigned)age_s);
	}
	name->is_standing_in = true;
	while (!list_is_empty(&name->waiting))
		deliver_good(LIST_ITEM(name->waiting.next, struct lookup, link), name, true);
}

static void
on_patience_over(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct name *name = arg;

	set_state(name, NAME_ASKING_LATE);
	stand_in(name, "the name servers take their time");
}

static void
explain(struct name *name, const struct dns_answer *answer)
{
	switch (answer->status) {
	case DNS_FOUND:
		return;
	case DNS_NO_NAME:
		(void)err_set(&name->failure,
			      "cannot look up '%s': there is no such name; is it spelled right, "
			      "and known in this network?",
			      name->host);
		(void)err_mark(&name->failure, ERR_NAME_UNKNOWN);
		return;
	case DNS_NO_ANSWER:
		(void)err_set(&name->failure,
			      "cannot look up '%s': no useful answer from the name servers (%s); "
			      "are those in /etc/resolv.conf or 'resolver' right?",
			      name->host, answer->reason);
		(void)err_mark(&name->failure, ERR_NAME_SERVER);
		return;
	case DNS_NO_MEMORY:
		(void)err_set(&name->failure, "cannot look up '%s': out of memory", name->host);
		return;
	}
}

static void
on_found(struct name *name, const struct resolved *addresses)
{
	uint64_t fresh_us = (uint64_t)addresses->fresh_s * second_us;

	if (name->is_standing_in)
		log_write(&log_main, LOG_LEVEL_NOTICE, "'%s' can be looked up again", name->host);
	name->is_standing_in = false;
	name->good = *addresses;
	name->answered_us = clock_now_us();
	if (fresh_us > name->resolver->cache_us)
		fresh_us = name->resolver->cache_us;
	name->fresh_until_us = name->answered_us + fresh_us;
	while (!list_is_empty(&name->waiting))
		deliver_good(LIST_ITEM(name->waiting.next, struct lookup, link), name, false);
}

static void
on_not_found(struct name *name, const struct dns_answer *answer)
{
	name->failed_until_us = clock_now_us() + FAILURE_S * second_us;
	explain(name, answer);
	if (answer->status == DNS_NO_NAME) /* is an answer too: nothing stands in for it */
		name->good.count = 0;
	if (may_stand_in(name)) {
		stand_in(name, answer->reason);
		return;
	}
	while (!list_is_empty(&name->waiting))
		deliver_failure(LIST_ITEM(name->waiting.next, struct lookup, link), name);
}

static void
on_answer(void *arg, const struct dns_answer *answer)
{
	struct name *name = arg;

	(void)event_del(&name->patience);
	set_state(name, NAME_IDLE);
	if (answer->status == DNS_FOUND)
		on_found(name, &answer->addresses);
	else
		on_not_found(name, answer);
}

static void
ask(struct name *name)
{
	set_state(name, NAME_ASKING);
	if (may_stand_in(name))
		(void)event_add(&name->patience, &patience);
	dns_ask(name->resolver->dns, name->host, on_answer, name);
}

/* The one that was not used for longest makes room, unless somebody waits for it. */
static void
forget_oldest(struct resolver *resolver)
{
	for (struct list *link = resolver->names.previous; link != &resolver->names;
	     link = link->previous) {
		struct name *name = LIST_ITEM(link, struct name, link);
		if (name->state != NAME_IDLE)
			continue;
		free_name(name);
		return;
	}
}

static struct name *
find_name(struct resolver *resolver, const char *host)
{
	size_t size = strlen(host) + 1;

	for (struct list *link = resolver->names.next; link != &resolver->names;
	     link = link->next) {
		struct name *name = LIST_ITEM(link, struct name, link);
		if (!text_equal_nocase(name->host, host))
			continue;
		list_remove(link);
		list_prepend(&resolver->names, link);
		return name;
	}
	if (resolver->name_count >= MAX_NAMES)
		forget_oldest(resolver);
	struct name *name = calloc(1, sizeof *name + size);
	if (name == NULL)
		return NULL;
	name->resolver = resolver;
	list_init(&name->waiting);
	(void)event_assign(&name->patience, resolver->base, -1, 0, on_patience_over, name);
	memcpy(name->host, host, size);
	list_prepend(&resolver->names, &name->link);
	resolver->name_count++;
	return name;
}

static void
forget_answers(struct resolver *resolver)
{
	for (struct list *link = resolver->names.next; link != &resolver->names;
	     link = link->next) {
		struct name *name = LIST_ITEM(link, struct name, link);
		name->fresh_until_us = 0;
		name->failed_until_us = 0;
	}
}

/* --- The resolver ---------------------------------------------------------------------------- */

/* What is known answers at once; the rest waits. */
static void
answer_or_wait(struct name *name, struct lookup *lookup, bool is_anew)
{
	uint64_t now_us = clock_now_us();

	if (!is_anew && name->good.count > 0 && now_us < name->fresh_until_us) {
		deliver_good(lookup, name, false);
	} else if (name->state == NAME_ASKING_LATE && may_stand_in(name)) {
		deliver_good(lookup, name, true);
	} else if (name->state == NAME_IDLE && now_us < name->failed_until_us) {
		if (may_stand_in(name))
			deliver_good(lookup, name, true);
		else
			deliver_failure(lookup, name);
	} else {
		list_append(&name->waiting, &lookup->link);
		if (name->state == NAME_IDLE)
			ask(name);
	}
}

static struct lookup *
start(struct resolver *resolver, const char *host, const char *port, bool is_anew,
      resolver_done_cb *on_done, void *arg)
{
	struct lookup *lookup = new_lookup(resolver, on_done, arg);

	if (lookup == NULL)
		return NULL;
	if (!read_port(lookup, port) || read_literal(lookup, host)) {
		deliver(lookup);
		return lookup;
	}
	if (dns_refresh(resolver->dns))
		forget_answers(resolver);
	struct name *name = find_name(resolver, host);
	if (name == NULL) {
		free(lookup);
		return NULL;
	}
	answer_or_wait(name, lookup, is_anew);
	return lookup;
}

struct lookup *
resolver_start(struct resolver *resolver, const char *host, const char *port,
	       resolver_done_cb *on_done, void *arg)
{
	return start(resolver, host, port, false, on_done, arg);
}

struct lookup *
resolver_start_anew(struct resolver *resolver, const char *host, const char *port,
		    resolver_done_cb *on_done, void *arg)
{
	return start(resolver, host, port, true, on_done, arg);
}

void
resolver_cancel(struct lookup *lookup)
{
	if (lookup == NULL)
		return;
	(void)event_del(&lookup->deliver);
	list_remove(&lookup->link);
	free(lookup);
}

void
resolver_forget(struct resolver *resolver)
{
	forget_answers(resolver);
}

void
resolver_configure(struct resolver *resolver, const struct global_options *options)
{
	resolver->cache_us = (uint64_t)options->dns_cache_s * second_us;
	dns_set_servers(resolver->dns, options->resolver);
	forget_answers(resolver);
}

struct resolver *
resolver_new(struct event_base *base)
{
	struct resolver *resolver = calloc(1, sizeof *resolver);

	if (resolver == NULL)
		return NULL;
	resolver->base = base;
	list_init(&resolver->names);
	resolver->dns = dns_new(base);
	if (resolver->dns != NULL)
		return resolver;
	free(resolver);
	return NULL;
}

void
resolver_free(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	dns_free(resolver->dns);
	while (!list_is_empty(&resolver->names))
		free_name(LIST_ITEM(resolver->names.next, struct name, link));
	free(resolver);
}
