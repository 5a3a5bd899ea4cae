#include "ssh/agent_query.h"

#include "ssh/agent.h"

#include <event2/event.h>
#include <string.h>

enum { WAIT_S = 2 };

struct query {
	const unsigned char *blob; /* borrowed */
	size_t length;
	bool is_found;
};

static void
on_list(void *arg, const struct agent_identity *identities, size_t count, const struct err *err)
{
	struct query *query = arg;

	for (size_t i = 0; err == NULL && i < count; i++)
		query->is_found |= identities[i].length == query->length &&
				   memcmp(identities[i].blob, query->blob, query->length) == 0;
}

bool
agent_query_has(const char *path, const unsigned char *blob, size_t length)
{
	struct query query = {.blob = blob, .length = length};
	struct event_base *base = event_base_new();
	struct agent *agent = base != NULL ? agent_new(base, path) : NULL;

	if (agent != NULL) {
		agent_start_list(agent, WAIT_S, on_list, &query);
		/* Ends with the answer, as nothing else is waited for. */
		(void)event_base_dispatch(base);
	}
	agent_free(agent);
	if (base != NULL)
		event_base_free(base);
	return query.is_found;
}
