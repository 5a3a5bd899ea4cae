#ifndef CACHETUNNEL_TUNNEL_SETUP_H
#define CACHETUNNEL_TUNNEL_SETUP_H

#include "config/config.h"
#include "tunnel/resolved.h"

#include <stdbool.h>

/*
 * A configuration made ready to run: what its files hold (TLS contexts) and what is counted
 * while it runs. Reference-counted as the configuration is: a tunnel keeps the one it began
 * with. Read-only for all threads, but for the counters.
 */

struct headcount;
struct ssh_credentials;
struct stats;
struct tls_context;
struct setup;

struct setup_service {
	const struct service *service; /* borrowed from the configuration */
	struct tls_context *tls;       /* owned; NULL for plain = yes */
	struct resolved source;        /* `local`; count 0: any address */
	struct resolved *accepts;      /* owned; for each `accept`; empty for a unix socket */
	struct headcount *clients;     /* one reference; the same across reloads */
	struct stats *stats;           /* one reference; the same for every service of this name */
};

/* Reads every file that `config` names; takes a reference of its own. What lives longer than a
 * configuration is taken over from `previous` (borrowed), service by service by their names; NULL:
 * there was none. Findings go to `report` (borrowed). Returns one owned reference, or NULL if there
 * is any error in `report`, now or from before. May block; any thread. */
struct setup *setup_new(struct config *config, const struct setup *previous, struct report *report);

/* References; any thread. setup_unref() takes NULL. */
struct setup *setup_ref(struct setup *setup);
void setup_unref(struct setup *setup);

/* What logins to the bastion at this index of the configuration can use; borrowed. */
const struct ssh_credentials *setup_get_credentials(const struct setup *setup, size_t index);

/* The bastion of `other` that is just the same as this one of `setup`, with all that is hopped
 * through before it: options, and what there is to log in with. NULL: there is none. */
const struct bastion *setup_find_same_bastion(const struct setup *setup, const struct setup *other,
					      const struct bastion *bastion);

const struct config *setup_config(const struct setup *setup);
const struct setup_service *setup_get_service(const struct setup *setup, size_t index);

/* How many clients the limit of descriptors allows; beyond that, nobody is accepted until
 * somebody leaves. 0, as at first: any number. Before any admission; later setups inherit it. */
void setup_set_room(struct setup *setup, int clients);
bool setup_has_room(const struct setup *setup);

enum admission {
	ADMISSION_GRANTED, /* counted; setup_release() once the client is gone */
	ADMISSION_SERVICE_FULL,
	ADMISSION_DAEMON_FULL,
};

/* Counts a new client of this service, unless a limit is reached. Any thread. */
enum admission setup_admit(struct setup *setup, size_t service_index);
void setup_release(struct setup *setup, size_t service_index);

/* The limit that setup_admit() applied last, for messages. */
int setup_limit(const struct setup *setup, size_t service_index, enum admission admission);

#endif
