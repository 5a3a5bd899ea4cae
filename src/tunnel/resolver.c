#include "tunnel/resolver.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const char hosts_path[] = "/etc/hosts";
static const char servers_path[] = "/etc/resolv.conf";

/* What tells that a file is no longer the one that was read. */
struct file_mark {
	dev_t device;
	ino_t inode;
	off_t size;
	time_t modified_s;
};

struct resolver {
	struct event_base *base; /* borrowed */
	struct evdns_base *dns;  /* owned */
	struct file_mark hosts;
	struct file_mark servers;
};

struct lookup {
	resolver_done_cb *on_done; /* NULL once cancelled */
	void *arg;
	struct evdns_getaddrinfo_request *request; /* NULL while no answer is outstanding */
	struct event deliver;           /* hands over an answer that came from inside the start */
	struct evutil_addrinfo *answer; /* owned */
	int failure;                    /* EVUTIL_EAI_*, 0: none */
	char host[];
};

static struct file_mark
mark_file(const char *path)
{
	struct stat status;

	if (stat(path, &status) != 0)
		return (struct file_mark){0};
	return (struct file_mark){status.st_dev, status.st_ino, status.st_size, status.st_mtime};
}

static bool
has_changed(struct file_mark *mark, const char *path)
{
	struct file_mark now = mark_file(path);
	bool is_changed = now.device != mark->device || now.inode != mark->inode ||
			  now.size != mark->size || now.modified_s != mark->modified_s;

	*mark = now;
	return is_changed;
}

/* libevent reads both files once; a laptop that changes networks needs more. Two small stats a
 * connection cost next to nothing beside its handshake. */
static void
read_changed_files(struct resolver *resolver)
{
	if (has_changed(&resolver->hosts, hosts_path)) {
		evdns_base_clear_host_addresses(resolver->dns);
		(void)evdns_base_load_hosts(resolver->dns, hosts_path);
	}
	if (has_changed(&resolver->servers, servers_path)) {
		(void)evdns_base_clear_nameservers_and_suspend(resolver->dns);
		(void)evdns_base_resolv_conf_parse(
			resolver->dns, DNS_OPTIONS_ALL & ~DNS_OPTION_HOSTSFILE, servers_path);
		(void)evdns_base_resume(resolver->dns);
	}
}

struct resolver *
resolver_new(struct event_base *base)
{
	struct resolver *resolver = calloc(1, sizeof *resolver);

	if (resolver == NULL)
		return NULL;
	resolver->base = base;
	resolver->dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (resolver->dns == NULL) {
		free(resolver);
		return NULL;
	}
	/* Asking in random letter cases is meant against forged answers. Certificates protect us
	 * better, and some home routers drop such questions. */
	(void)evdns_base_set_option(resolver->dns, "randomize-case", "0");
	/* Once even if there is no such file: then localhost is known all the same. */
	(void)evdns_base_load_hosts(resolver->dns, hosts_path);
	read_changed_files(resolver);
	return resolver;
}

void
resolver_free(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	evdns_base_free(resolver->dns, 1);
	/* Cancelled requests are told through the loop; only then their memory goes. */
	(void)event_base_loop(resolver->base, EVLOOP_NONBLOCK);
	free(resolver);
}

static void
free_lookup(struct lookup *lookup)
{
	(void)event_del(&lookup->deliver);
	if (lookup->answer != NULL)
		evutil_freeaddrinfo(lookup->answer);
	free(lookup);
}

static void
copy_answer(const struct evutil_addrinfo *answer, struct resolved *ret_resolved)
{
	ret_resolved->count = 0;
	for (; answer != NULL && ret_resolved->count < RESOLVER_MAX_ADDRESSES;
	     answer = answer->ai_next) {
		if ((size_t)answer->ai_addrlen > sizeof(struct sockaddr_storage))
			continue;
		memcpy(&ret_resolved->items[ret_resolved->count].storage, answer->ai_addr,
		       (size_t)answer->ai_addrlen);
		ret_resolved->items[ret_resolved->count].length = (socklen_t)answer->ai_addrlen;
		ret_resolved->count++;
	}
}

static void
explain_failure(const struct lookup *lookup, struct err *err)
{
	switch (lookup->failure) {
	case 0:
	case EVUTIL_EAI_NODATA:
	case EVUTIL_EAI_NONAME:
		(void)err_set(err,
			      "cannot look up '%s': there is no such name; is it spelled right, "
			      "and known in this network?",
			      lookup->host);
		(void)err_mark(err, ERR_NAME_UNKNOWN);
		break;
	case EVUTIL_EAI_AGAIN:
	case EVUTIL_EAI_FAIL:
		(void)err_set(err,
			      "cannot look up '%s': no useful answer from the name servers; are "
			      "those in /etc/resolv.conf right?",
			      lookup->host);
		(void)err_mark(err, ERR_NAME_SERVER);
		break;
	default:
		(void)err_set(err, "cannot look up '%s': %s", lookup->host,
			      evutil_gai_strerror(lookup->failure));
	}
}

static void
on_deliver(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct lookup *lookup = arg;
	resolver_done_cb *on_done = lookup->on_done;
	void *on_done_arg = lookup->arg;
	struct resolved resolved = {0};
	struct err err;

	copy_answer(lookup->answer, &resolved);
	if (resolved.count == 0)
		explain_failure(lookup, &err);
	free_lookup(lookup);
	on_done(on_done_arg, resolved.count > 0 ? &resolved : NULL,
		resolved.count > 0 ? NULL : &err);
}

/* libevent calls this from inside evdns_getaddrinfo() where it knows the answer already, and
 * always exactly once, also after a cancel. */
static void
on_answer(int failure, struct evutil_addrinfo *answer, void *arg)
{
	struct lookup *lookup = arg;

	lookup->request = NULL;
	lookup->failure = failure;
	lookup->answer = answer;
	if (lookup->on_done == NULL)
		free_lookup(lookup);
	else
		event_active(&lookup->deliver, EV_TIMEOUT, 0);
}

struct lookup *
resolver_start(struct resolver *resolver, const char *host, const char *port,
	       resolver_done_cb *on_done, void *arg)
{
	struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	size_t host_size = strlen(host) + 1;
	struct lookup *lookup = calloc(1, sizeof *lookup + host_size);

	if (lookup == NULL)
		return NULL;
	lookup->on_done = on_done;
	lookup->arg = arg;
	memcpy(lookup->host, host, host_size);
	(void)event_assign(&lookup->deliver, resolver->base, -1, 0, on_deliver, lookup);

	read_changed_files(resolver);
	lookup->request = evdns_getaddrinfo(resolver->dns, host, port, &hints, on_answer, lookup);
	return lookup;
}

void
resolver_cancel(struct lookup *lookup)
{
	if (lookup == NULL)
		return;
	if (lookup->request == NULL) {
		free_lookup(lookup);
		return;
	}
	lookup->on_done = NULL;
	evdns_getaddrinfo_cancel(lookup->request);
}
