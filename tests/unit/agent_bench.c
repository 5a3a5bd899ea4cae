#include "agent_bench.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/test_agent.XXXXXX";

void
agent_bench_on_list(void *arg, const struct agent_identity *identities, size_t count,
		    const struct err *err)
{
	struct agent_bench *bench = arg;

	assert_false(bench->is_over);
	bench->is_over = true;
	bench->is_done = err == NULL;
	bench->identities = identities;
	bench->count = count;
	if (err != NULL)
		bench->err = *err;
}

void
agent_bench_on_sign(void *arg, const unsigned char *signature, size_t length, const struct err *err)
{
	struct agent_bench *bench = arg;

	assert_false(bench->is_over);
	assert_true(length <= sizeof bench->signature);
	bench->is_over = true;
	bench->is_done = err == NULL;
	bench->signature_length = length;
	if (err != NULL)
		bench->err = *err;
	else
		memcpy(bench->signature, signature, length);
}

struct agent_bench
agent_bench_new(const char *path)
{
	struct agent_bench bench = {.base = event_base_new()};

	bench.agent = agent_new(bench.base, path);
	assert_non_null(bench.agent);
	return bench;
}

void
agent_bench_done(struct agent_bench *bench)
{
	agent_free(bench->agent);
	assert_int_equal(event_base_get_num_events(bench->base, EVENT_BASE_COUNT_ADDED), 0);
	event_base_free(bench->base);
}

bool
agent_bench_finish(struct agent_bench *bench)
{
	assert_false(bench->is_over);
	while (!bench->is_over)
		assert_int_equal(event_base_loop(bench->base, EVLOOP_ONCE), 0);
	return bench->is_done;
}

bool
agent_bench_list(struct agent_bench *bench, int timeout_s)
{
	bench->is_over = false;
	agent_start_list(bench->agent, timeout_s, agent_bench_on_list, bench);
	return agent_bench_finish(bench);
}

bool
agent_bench_sign(struct agent_bench *bench, size_t index, const char *data, unsigned flags)
{
	bench->is_over = false;
	agent_start_sign(bench->agent, index, (const unsigned char *)data, strlen(data), flags,
			 TIMEOUT_S, agent_bench_on_sign, bench);
	return agent_bench_finish(bench);
}

void
agent_bench_path(char *out, const char *name)
{
	(void)snprintf(out, PATH_SIZE, "%s/%s", folder, name);
}

int
agent_bench_make_folder(void **state ATTR_UNUSED)
{
	return mkdtemp(folder) == NULL;
}

int
agent_bench_remove_folder(void **state ATTR_UNUSED)
{
	char command[64];

	(void)snprintf(command, sizeof command, "rm -r %s", folder);
	return system(command) != 0;
}

const char *
agent_bench_folder(void)
{
	return folder;
}
