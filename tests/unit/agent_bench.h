#ifndef CACHETUNNEL_TESTS_AGENT_BENCH_H
#define CACHETUNNEL_TESTS_AGENT_BENCH_H

#include "ssh/agent.h"

#include <stdbool.h>
#include <stddef.h>

/* What the tests of the agent's client have in common: a client in a loop of its own, and a
 * folder for sockets and keys. */

enum { TIMEOUT_S = 20, PATH_SIZE = 64, REPLY_SIZE = 8192 };

/* One agent client and what came of its last request. */
struct agent_bench {
	struct event_base *base;
	struct agent *agent;
	bool is_over;
	bool is_done;
	struct err err;
	const struct agent_identity *identities;
	size_t count;
	unsigned char signature[REPLY_SIZE];
	size_t signature_length;
};

struct agent_bench agent_bench_new(const char *path);
void agent_bench_done(struct agent_bench *bench);

/* Whom to name in a start; then agent_bench_finish() runs the loop until they were called. */
void agent_bench_on_list(void *arg, const struct agent_identity *identities, size_t count,
			 const struct err *err);
void agent_bench_on_sign(void *arg, const unsigned char *signature, size_t length,
			 const struct err *err);
bool agent_bench_finish(struct agent_bench *bench);

/* Ask, and wait for the answer. */
bool agent_bench_list(struct agent_bench *bench, int timeout_s);
bool agent_bench_sign(struct agent_bench *bench, size_t index, const char *data, unsigned flags);

/* A cmocka setup and teardown; and a path in the folder, of PATH_SIZE. */
int agent_bench_make_folder(void **state);
int agent_bench_remove_folder(void **state);
const char *agent_bench_folder(void);
void agent_bench_path(char *out, const char *name);

#endif
