#include "tunnel/demotion.h"

#include <stdlib.h>

struct demotion *
demotion_copy(const struct demotion *demotion)
{
	struct demotion *copy = malloc(sizeof *copy);

	if (copy == NULL)
		return NULL;
	*copy = *demotion;
	list_init(&copy->message.link);
	(void)setup_ref(copy->setup);
	return copy;
}

void
demotion_free(struct demotion *demotion)
{
	setup_unref(demotion->setup);
	free(demotion);
}
