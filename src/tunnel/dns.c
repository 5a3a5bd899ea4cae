#include "tunnel/dns.h"

#include "base/compat.h"
#include "base/list.h"
#include "tunnel/dns_network.h"
#include "tunnel/hosts.h"

#include <ares.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* How long the answer for one family waits for the other's: the resolution delay of RFC 8305,
 * 3. Some routers drop questions for IPv6, and nobody should wait for those. */
static const struct timeval resolution_delay = {.tv_usec = 50 * 1000};

static const char hosts_path[] = "/etc/hosts";
static const char servers_path[] = "/etc/resolv.conf";

/* What tells that a file is no longer the one that was read. */
struct file_mark {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
};

struct dns {
	struct event_base *base;     /* borrowed */
	char *servers;               /* owned; NULL: those of the file */
	struct dns_network *network; /* owned */
	struct list questions;
	struct file_mark hosts_mark;
	struct file_mark servers_mark;
};

enum question_state {
	QUESTION_ASKING,  /* somebody waits for it */
	QUESTION_WAITING, /* one family has answered, the other may for a moment longer */
	QUESTION_TOLD,    /* what still comes is of no interest */
};

enum family {
	FAMILY_V6, /* first, as RFC 8305 has it */
	FAMILY_V4,
	FAMILY_COUNT,
};

static const int family_of[] = {[FAMILY_V6] = AF_INET6, [FAMILY_V4] = AF_INET};

/* One family's part of a question. */
struct half {
	struct question *question;
	bool is_asked; /* c-ares will call back, exactly once */
	bool is_over;
	enum dns_status status;
	const char *reason; /* static */
	struct resolved addresses;
};

struct question {
	struct list link;
	struct dns *dns;
	dns_answer_cb *on_answer;
	void *arg;
	enum question_state state; /* written by set_state() only */
	struct half halves[FAMILY_COUNT];
	struct event timer; /* the resolution delay */
	char host[];
};

static void
set_state(struct question *question, enum question_state state)
{
	if (state <= question->state)
		abort();
	question->state = state;
}

/* --- Questions ------------------------------------------------------------------------------- */

static void
free_question(struct question *question)
{
	(void)event_del(&question->timer);
	list_remove(&question->link);
	free(question);
}

/* Makes one answer of both halves and hands it over: the addresses of both, or the worse of two
 * failures. */
static void
tell(struct question *question)
{
	struct dns_answer answer = {.addresses = {.fresh_s = INT_MAX}};

	set_state(question, QUESTION_TOLD);
	(void)event_del(&question->timer);
	for (int family = 0; family < FAMILY_COUNT; family++) {
		const struct half *half = &question->halves[family];
		if (half->status > answer.status) {
			answer.status = half->status;
			answer.reason = half->reason;
		}
		if (!half->is_over || half->status == DNS_NO_ANSWER)
			answer.addresses.unheard = family_of[family];
		if (!half->is_over || half->status != DNS_FOUND)
			continue;
		if (half->addresses.fresh_s < answer.addresses.fresh_s)
			answer.addresses.fresh_s = half->addresses.fresh_s;
		for (size_t i = 0; i < half->addresses.count; i++) {
			const struct resolved_address *item = &half->addresses.items[i];
			(void)resolved_add(&answer.addresses, (const void *)&item->storage,
					   item->length);
		}
	}
	if (answer.addresses.count > 0)
		answer.status = DNS_FOUND;
	question->on_answer(question->arg, &answer);
}

static void
on_resolution_delay(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	tell(arg);
}

/* One half is over: derives what that means for the whole. May free the question. */
static void
advance(struct question *question)
{
	bool is_over = true;
	bool is_asked = false;
	bool has_addresses = false;

	for (int family = 0; family < FAMILY_COUNT; family++) {
		const struct half *half = &question->halves[family];
		is_over &= half->is_over;
		is_asked |= half->is_asked;
		has_addresses |= half->is_over && half->status == DNS_FOUND;
	}
	if (question->state != QUESTION_TOLD && is_over) {
		tell(question);
	} else if (question->state == QUESTION_ASKING && has_addresses) {
		set_state(question, QUESTION_WAITING);
		(void)event_add(&question->timer, &resolution_delay);
	}
	if (question->state == QUESTION_TOLD && !is_asked)
		free_question(question);
}

static enum dns_status
status_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return DNS_FOUND;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
	case ARES_EBADNAME:
		return DNS_NO_NAME;
	case ARES_ENOMEM:
		return DNS_NO_MEMORY;
	default:
		return DNS_NO_ANSWER;
	}
}

/* The answer holds as long as the shortest-lived record that led to it. */
static void
copy_addresses(const struct ares_addrinfo *found, struct resolved *ret_addresses)
{
	*ret_addresses = (struct resolved){.fresh_s = INT_MAX};
	for (const struct ares_addrinfo_cname *name = found->cnames; name != NULL;
	     name = name->next) {
		if (name->ttl < ret_addresses->fresh_s)
			ret_addresses->fresh_s = name->ttl;
	}
	for (const struct ares_addrinfo_node *node = found->nodes; node != NULL;
	     node = node->ai_next) {
		if (node->ai_ttl < ret_addresses->fresh_s)
			ret_addresses->fresh_s = node->ai_ttl;
		(void)resolved_add(ret_addresses, node->ai_addr, node->ai_addrlen);
	}
}

static void
settle(struct half *half, int status, struct ares_addrinfo *found)
{
	half->is_over = true;
	half->status = status_of(status);
	half->reason = ares_strerror(status);
	if (found != NULL) {
		copy_addresses(found, &half->addresses);
		ares_freeaddrinfo(found);
	}
	if (half->status == DNS_FOUND && half->addresses.count == 0)
		half->status = DNS_NO_NAME;
}

static void
on_network_answer(void *arg, int status, int timeouts ATTR_UNUSED, struct ares_addrinfo *found)
{
	struct half *half = arg;

	half->is_asked = false;
	if (dns_network_is_closing(half->question->dns->network))
		return; /* nobody's answer: it is asked again, or freed */
	settle(half, status, found);
	advance(half->question);
}

static void
ask_network(struct half *half, int family)
{
	struct question *question = half->question;
	struct dns *dns = question->dns;

	half->is_asked = true;
	if (dns_network_ask(dns->network, dns->servers, question->host, family, on_network_answer,
			    half))
		return;
	half->is_asked = false;
	settle(half, ARES_ENOMEM, NULL);
	advance(question);
}

/* Asks for what is not known yet. May free the question. */
static void
ask_both(struct question *question)
{
	bool is_wanted[FAMILY_COUNT];

	/* All are marked before the first is asked, which may end at once and must not end the
	 * question then. */
	for (int family = 0; family < FAMILY_COUNT; family++) {
		is_wanted[family] = !question->halves[family].is_over;
		question->halves[family].is_asked = is_wanted[family];
	}
	for (int family = 0; family < FAMILY_COUNT; family++) {
		if (is_wanted[family])
			ask_network(&question->halves[family], family_of[family]);
	}
}

void
dns_ask(struct dns *dns, const char *host, dns_answer_cb *on_answer, void *arg)
{
	struct dns_answer local = {.status = DNS_FOUND};
	size_t host_size = strlen(host) + 1;

	/* What /etc/hosts says holds until it changes. */
	if (hosts_find(hosts_path, host, &local.addresses)) {
		local.addresses.fresh_s = INT_MAX;
		on_answer(arg, &local);
		return;
	}
	struct question *question = calloc(1, sizeof *question + host_size);

	if (question == NULL) {
		const struct dns_answer answer = {.status = DNS_NO_MEMORY, .reason = "no memory"};
		on_answer(arg, &answer);
		return;
	}
	question->dns = dns;
	question->on_answer = on_answer;
	question->arg = arg;
	memcpy(question->host, host, host_size);
	(void)event_assign(&question->timer, dns->base, -1, 0, on_resolution_delay, question);
	list_append(&dns->questions, &question->link);

	for (int family = 0; family < FAMILY_COUNT; family++)
		question->halves[family].question = question;
	ask_both(question);
}

/* --- Servers and files ----------------------------------------------------------------------- */

/* A new channel, and everything that the old one was asked is asked again. */
static void
start_over(struct dns *dns)
{
	struct list again;

	dns_network_close(dns->network);
	list_init(&again);
	while (!list_is_empty(&dns->questions)) {
		struct list *link = dns->questions.next;
		list_remove(link);
		list_append(&again, link);
	}
	while (!list_is_empty(&again)) {
		struct question *question = LIST_ITEM(again.next, struct question, link);
		list_remove(&question->link);
		list_append(&dns->questions, &question->link);
		if (question->state == QUESTION_TOLD)
			free_question(question);
		else
			ask_both(question);
	}
}

static struct file_mark
mark_file(const char *path)
{
	struct stat status;

	if (stat(path, &status) != 0)
		return (struct file_mark){0};
	return (struct file_mark){status.st_dev, status.st_ino, status.st_size,
				  compat_modified(&status)};
}

static bool
has_changed(struct file_mark *mark, const char *path)
{
	struct file_mark now = mark_file(path);
	bool is_changed = now.device != mark->device || now.inode != mark->inode ||
			  now.size != mark->size || now.modified.tv_sec != mark->modified.tv_sec ||
			  now.modified.tv_nsec != mark->modified.tv_nsec;

	*mark = now;
	return is_changed;
}

bool
dns_refresh(struct dns *dns)
{
	/* The hosts file is read anew for each question anyway. */
	bool have_hosts_changed = has_changed(&dns->hosts_mark, hosts_path);
	bool have_servers_changed = has_changed(&dns->servers_mark, servers_path) &&
				    dns->servers == NULL;

	if (have_servers_changed)
		start_over(dns);
	return have_hosts_changed || have_servers_changed;
}

void
dns_set_servers(struct dns *dns, const char *servers)
{
	if (servers == NULL ? dns->servers == NULL
			    : dns->servers != NULL && strcmp(dns->servers, servers) == 0)
		return;
	free(dns->servers);
	dns->servers = servers != NULL ? strdup(servers) : NULL;
	start_over(dns);
}

struct dns *
dns_new(struct event_base *base)
{
	struct dns *dns = calloc(1, sizeof *dns);

	if (dns == NULL)
		return NULL;
	dns->base = base;
	list_init(&dns->questions);
	dns->hosts_mark = mark_file(hosts_path);
	dns->servers_mark = mark_file(servers_path);
	dns->network = dns_network_new(base);
	if (dns->network != NULL && dns_network_open(dns->network, NULL))
		return dns;
	dns_free(dns);
	return NULL;
}

void
dns_free(struct dns *dns)
{
	if (dns == NULL)
		return;
	if (dns->network != NULL)
		dns_network_close(dns->network);
	while (!list_is_empty(&dns->questions))
		free_question(LIST_ITEM(dns->questions.next, struct question, link));
	dns_network_free(dns->network);
	free(dns->servers);
	free(dns);
}
