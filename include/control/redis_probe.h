#ifndef CACHETUNNEL_CONTROL_REDIS_PROBE_H
#define CACHETUNNEL_CONTROL_REDIS_PROBE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Asks a Redis server over an open stream what it is: PING, then INFO server where that is allowed,
 * and CLUSTER INFO where it did not tell. It logs in nowhere and changes nothing.
 */

struct event_base;
struct redis_probe;
struct stream;

enum { REDIS_FACT_SIZE = 64, REDIS_ANSWER_SIZE = 256 };

enum redis_cluster_mode {
	REDIS_CLUSTER_UNKNOWN,
	REDIS_CLUSTER_OFF,
	REDIS_CLUSTER_ON,
};

struct redis_facts {
	char ping[REDIS_ANSWER_SIZE]; /* what it said to PING: "PONG", or an error's text */
	bool is_up;                   /* that was a sign of a server that works */
	bool needs_login;             /* NOAUTH: nothing else was asked */
	uint64_t ping_us;
	uint64_t info_us;                /* of all that was asked after PING */
	char engine[REDIS_FACT_SIZE];    /* "Redis", "Valkey"; empty: not known */
	char version[REDIS_FACT_SIZE];   /* empty: not known */
	char refusal[REDIS_ANSWER_SIZE]; /* of INFO; empty: none */
	enum redis_cluster_mode cluster;
};

/* It has ended. `facts` is borrowed for the call; `err` is NULL once PING was answered, whatever
 * the answer. Never called from inside redis_probe_start(). */
typedef void redis_probe_done_cb(void *arg, const struct redis_facts *facts, const struct err *err);

/* Asks over `stream` (borrowed), whose handler it becomes, and waits for each answer for
 * `timeout_s` at most (0: for ever). Returns a handle; NULL: no memory. */
struct redis_probe *redis_probe_start(struct event_base *base, struct stream *stream, int timeout_s,
				      redis_probe_done_cb *on_done, void *arg);

/* The callback will not come. Not from inside it. NULL is fine. */
void redis_probe_free(struct redis_probe *probe);

#endif
