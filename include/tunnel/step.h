#ifndef CACHETUNNEL_TUNNEL_STEP_H
#define CACHETUNNEL_TUNNEL_STEP_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The steps on the way to an endpoint, told by whoever takes them (dialer, session pool, bastion
 * dialer) as each ends, well or badly, to whoever wants to know: for a diagnosis, for states, for
 * latencies. It changes nothing about the way.
 */

struct address;
struct bastion;
struct resolved;
struct stream;

enum step_kind {
	STEP_NAME,     /* a name was looked up */
	STEP_CONNECT,  /* TCP or a unix socket; on the way to a bastion also a channel of the one
			* before it, or proxyCommand */
	STEP_HOST_KEY, /* a bastion's greeting, key exchange and host key */
	STEP_LOGIN,    /* at a bastion */
	STEP_CHANNEL,  /* a bastion's way to the endpoint */
	STEP_TLS,
};

/* All borrowed for the call. */
struct step {
	enum step_kind kind;
	const struct bastion
		*bastion; /* the way leads to it, or (CHANNEL) through it; NULL: none */
	const struct address *endpoint; /* the way leads to it; NULL: to a bastion */
	const struct err *err;          /* NULL: it went well */
	uint64_t took_us;

	/* Where it went well: */
	const struct resolved *addresses; /* NAME */
	const char *detail;               /* CONNECT: the address; HOST_KEY and LOGIN: which */
	/* TLS, also where it failed: */
	const struct stream *secured;
};

struct step_observer {
	void (*on_step)(void *arg, const struct step *step);
	void *arg;
};

/* Tells `observer` (NULL: nobody). */
static inline void
step_tell(const struct step_observer *observer, const struct step *step)
{
	if (observer != NULL)
		observer->on_step(observer->arg, step);
}

#endif
