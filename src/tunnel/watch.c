#include "tunnel/watch.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "tunnel/health.h"
#include "tunnel/resolver.h"
#include "tunnel/socket_setup.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

/* An address that has left the answer is looked at again soon: some resolvers rotate. */
enum { SOON_S = 1 };

/* How long a demoted server is kept out of new tunnels: names follow within seconds. */
static const uint64_t kept_out_us = 10 * UINT64_C(1000000);

/* A server that refuses writes again and again is the name's doing (a replica, the primary of a
 * secondary region): then reading must go on, and only the writer is told. */
static const uint64_t told_once_us = 60 * UINT64_C(1000000);

/* Through a bastion nobody here knows which server it was. After this time it is taken for another
 * one: the name has followed the first failover by then. */
static const uint64_t unknown_told_once_us = 20 * UINT64_C(1000000);

enum { MISSES = 2 };

static const char refuses_writes[] = "it refuses writes (READONLY)";

enum watch_state {
	WATCH_IDLE, /* nobody uses the endpoint */
	WATCH_WAITING,
	WATCH_LOOKING,
};

struct watch {
	struct watch_request request;
	enum watch_state state; /* written by set_state() only */
	struct list users;
	struct event timer;
	struct lookup *lookup; /* while looking */
	struct resolved_address demoted;
	uint64_t demoted_us; /* when that was reported; 0: never */
};

static void
set_state(struct watch *watch, enum watch_state state)
{
	assert(watch->state != state);
	watch->state = state;
}

static const struct address *
endpoint_of(const struct watch *watch)
{
	return &watch->request.service->options.connect.items[watch->request.endpoint];
}

/* Where a bastion resolves the name, or there is none, nobody here can look. */
static bool
is_looked_up(const struct watch *watch)
{
	const struct service *service = watch->request.service;

	return service->options.dns_watch_s > 0 && service->bastion == NULL &&
	       !address_is_unix(endpoint_of(watch));
}

static void
wait_for_next(struct watch *watch, int seconds)
{
	const struct timeval wait = {.tv_sec = seconds};

	set_state(watch, WATCH_WAITING);
	(void)event_add(&watch->timer, &wait);
}

static void
tell(struct watch_user *user, const char *why)
{
	watch_moved_cb *on_moved = user->on_moved;

	watch_leave(user);
	on_moved(user->arg, why);
}

/* Empty where a bastion knows it. */
static const char *
format(const struct resolved_address *address, char *out, size_t size)
{
	return address->length > 0 ? socket_name(&address->storage, address->length, out, size)
				   : "";
}

static void
note_move(struct watch *watch, const struct resolved_address *from, const char *why)
{
	char text[SOCKET_NAME_SIZE];
	char endpoint[SOCKET_NAME_SIZE];
	const char *name = format(from, text, sizeof text);
	bool is_primary = watch->request.service->options.role == ROLE_PRIMARY;

	if (is_primary)
		health_note_move(watch->request.health, name);
	log_write(&log_main, LOG_LEVEL_NOTICE,
		  "Service [%s]: %s has moved away from %s: %s; its %s are closed",
		  watch->request.service->name,
		  address_format(endpoint_of(watch), endpoint, sizeof endpoint),
		  name[0] != '\0' ? name : "its server", why,
		  is_primary ? "tunnels" : "warm connections");
}

/* Takes those who have to go out of the watch first: telling one may change the list. */
static void
take_users(struct watch *watch, const struct resolved_address *address, struct list *ret_taken)
{
	struct list *next;

	list_init(ret_taken);
	for (struct list *link = watch->users.next; link != &watch->users; link = next) {
		struct watch_user *user = LIST_ITEM(link, struct watch_user, link);
		next = link->next;
		if (!resolved_is_same(&user->address, address))
			continue;
		list_remove(link);
		list_append(ret_taken, link);
	}
}

static void
tell_all(struct watch *watch, const struct resolved_address *address, const char *why)
{
	struct list taken;

	take_users(watch, address, &taken);
	if (list_is_empty(&taken))
		return;
	note_move(watch, address, why);
	while (!list_is_empty(&taken))
		tell(LIST_ITEM(taken.next, struct watch_user, link), why);
}

/* Compares everybody's address with the answer. Returns whether somebody's was missing, and is to
 * be looked at again soon. */
static bool
compare(struct watch *watch, const struct resolved *resolved)
{
	struct resolved_address gone = {.length = 0};
	bool is_doubtful = false;
	bool is_gone = false;

	for (struct list *link = watch->users.next; link != &watch->users; link = link->next) {
		struct watch_user *user = LIST_ITEM(link, struct watch_user, link);
		if (resolved_contains(resolved, &user->address)) {
			user->missed = 0;
			continue;
		}
		is_doubtful = true;
		if (user->address.storage.ss_family == resolved->unheard)
			continue; /* half an answer says nothing about the other half */
		if (++user->missed < MISSES)
			continue;
		gone = user->address;
		is_gone = true;
	}
	/* The name has followed. If it comes back to that server, a report will be news again. */
	if (watch->demoted_us != 0 && watch->demoted.storage.ss_family != resolved->unheard &&
	    !resolved_contains(resolved, &watch->demoted))
		watch->demoted_us = 0;
	/* One address at a time: there are rarely two. */
	if (is_gone)
		tell_all(watch, &gone, "its name leads there no longer");
	return is_doubtful;
}

static void
on_looked_up(void *arg, const struct resolved *resolved, const struct err *err ATTR_UNUSED)
{
	struct watch *watch = arg;
	int next_s = watch->request.service->options.dns_watch_s;

	watch->lookup = NULL;
	if (resolved != NULL && !resolved->is_stale) {
		if (resolved->fresh_s < next_s)
			next_s = resolved->fresh_s < SOON_S ? SOON_S : resolved->fresh_s;
		if (compare(watch, resolved))
			next_s = SOON_S;
	}
	if (list_is_empty(&watch->users))
		set_state(watch, WATCH_IDLE);
	else
		wait_for_next(watch, next_s);
}

static void
on_timer(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct watch *watch = arg;
	const struct address *endpoint = endpoint_of(watch);

	watch->lookup = resolver_start_anew(watch->request.resolver, address_host(endpoint),
					    endpoint->port, on_looked_up, watch);
	if (watch->lookup != NULL) {
		set_state(watch, WATCH_LOOKING);
	} else {
		set_state(watch, WATCH_IDLE);
		wait_for_next(watch, watch->request.service->options.dns_watch_s);
	}
}

struct watch *
watch_new(const struct watch_request *request)
{
	struct watch *watch = calloc(1, sizeof *watch);

	if (watch == NULL)
		return NULL;
	watch->request = *request;
	list_init(&watch->users);
	(void)event_assign(&watch->timer, request->base, -1, 0, on_timer, watch);
	return watch;
}

void
watch_free(struct watch *watch)
{
	if (watch == NULL)
		return;
	assert(list_is_empty(&watch->users));
	(void)event_del(&watch->timer);
	resolver_cancel(watch->lookup);
	free(watch);
}

static bool
is_demoted(const struct watch *watch, const struct resolved_address *address)
{
	return watch->demoted_us != 0 && resolved_is_same(&watch->demoted, address);
}

void
watch_join(struct watch *watch, struct watch_user *user)
{
	char name[SOCKET_NAME_SIZE];

	user->watch = watch;
	user->missed = 0;
	if (health_expects_arrival(watch->request.health))
		health_note_arrival(watch->request.health,
				    format(&user->address, name, sizeof name));
	list_append(&watch->users, &user->link);
	if (watch->state == WATCH_IDLE && is_looked_up(watch))
		wait_for_next(watch, SOON_S);
	if (is_demoted(watch, &user->address) && user->chosen_us <= watch->demoted_us)
		tell(user, refuses_writes);
}

void
watch_leave(struct watch_user *user)
{
	struct watch *watch = user->watch;

	if (watch == NULL)
		return;
	user->watch = NULL;
	list_remove(&user->link);
	if (!list_is_empty(&watch->users) || watch->state != WATCH_WAITING)
		return;
	(void)event_del(&watch->timer);
	set_state(watch, WATCH_IDLE);
}

bool
watch_hear_demoted(struct watch *watch, const struct resolved_address *address)
{
	uint64_t now_us = clock_now_us();
	uint64_t told_us = address->length > 0 ? told_once_us : unknown_told_once_us;

	if (is_demoted(watch, address) && now_us - watch->demoted_us < told_us)
		return false;
	watch->demoted = *address;
	watch->demoted_us = now_us;
	tell_all(watch, address, refuses_writes);
	return true;
}

void
watch_report_demoted(struct watch *watch, const struct resolved_address *address)
{
	if (watch_hear_demoted(watch, address))
		watch->request.on_demoted(watch->request.arg, watch, address);
}

size_t
watch_service(const struct watch *watch)
{
	return watch->request.service->index;
}

size_t
watch_endpoint(const struct watch *watch)
{
	return watch->request.endpoint;
}

void
watch_look_now(struct watch *watch)
{
	if (watch->state == WATCH_WAITING)
		event_active(&watch->timer, EV_TIMEOUT, 0);
}

bool
watch_has_demoted(const struct watch *watch)
{
	return watch->demoted_us != 0 && clock_now_us() - watch->demoted_us <= kept_out_us;
}

void
watch_leave_out_demoted(const struct watch *watch, struct resolved *resolved)
{
	size_t kept = 0;

	if (!watch_has_demoted(watch))
		return;
	for (size_t i = 0; i < resolved->count; i++) {
		if (!resolved_is_same(&resolved->items[i], &watch->demoted))
			resolved->items[kept++] = resolved->items[i];
	}
	resolved->count = kept;
}
