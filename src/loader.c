#include "loader.h"

#include "reach.h"
#include "tunnel/inbox.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct loader {
	struct message message; /* first, so that the two can be cast; says that it is done */
	pthread_t thread;
	const char *path;            /* borrowed */
	struct setup *previous;      /* one reference */
	const struct reach *granted; /* borrowed; NULL: there is no sandbox */
	struct inbox *inbox;         /* borrowed */
	loader_done_cb *on_done;
	void *arg;

	/* What came of it; owned until on_done() takes it. */
	struct setup *setup;
	struct report *report;
};

static struct setup *
make_setup(struct config *config, const struct setup *previous, struct report *report)
{
	struct setup *setup = config != NULL ? setup_new(config, previous, report) : NULL;

	config_unref(config);
	return setup;
}

struct setup *
loader_load(const char *path, int fd, struct report *report)
{
	return make_setup(fd >= 0 ? config_load_fd(fd, report) : config_load(path, report), NULL,
			  report);
}

static void
receive_result(struct message *message, void *receiver ATTR_UNUSED)
{
	struct loader *loader = (struct loader *)(void *)message;
	struct setup *setup = loader->setup;
	struct report *report = loader->report;

	loader->setup = NULL;
	loader->report = NULL;
	loader->on_done(loader->arg, setup, report);
}

/* Said before files are opened, which would only tell that the permission is missing. */
static void
check_reach(const struct config *config, const struct reach *granted, struct report *report)
{
	struct reach *wanted = reach_of(config);

	(void)reach_covers(granted, wanted, report);
	reach_free(wanted);
}

static void *
run(void *arg)
{
	struct loader *loader = arg;
	struct config *config = config_load(loader->path, loader->report);

	if (config != NULL && loader->granted != NULL)
		check_reach(config, loader->granted, loader->report);
	loader->setup = make_setup(config, loader->previous, loader->report);
	inbox_post(loader->inbox, &loader->message);
	return NULL;
}

struct loader *
loader_start(const char *path, struct setup *previous, const struct reach *granted,
	     struct inbox *inbox, loader_done_cb *on_done, void *arg)
{
	struct loader *loader = calloc(1, sizeof *loader);
	sigset_t all;
	sigset_t before;

	if (loader == NULL)
		return NULL;
	list_init(&loader->message.link);
	loader->message.receive = receive_result;
	loader->path = path;
	loader->previous = setup_ref(previous);
	loader->granted = granted;
	loader->inbox = inbox;
	loader->on_done = on_done;
	loader->arg = arg;
	loader->report = report_new();
	/* Signals are the main thread's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int failure = pthread_create(&loader->thread, NULL, run, loader);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failure == 0)
		return loader;
	setup_unref(loader->previous);
	report_free(loader->report);
	free(loader);
	return NULL;
}

void
loader_free(struct loader *loader)
{
	if (loader == NULL)
		return;
	(void)pthread_join(loader->thread, NULL);
	list_remove(&loader->message.link);
	setup_unref(loader->setup);
	report_free(loader->report);
	setup_unref(loader->previous);
	free(loader);
}
