#include "reload.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "loader.h"
#include "log_options.h"
#include "notify.h"
#include "serving.h"

#include <stdio.h>
#include <stdlib.h>

/* Somebody who waits for a reload. */
struct wish {
	struct list link; /* in reload->now or reload->later */
	reload_done_cb *on_done;
	void *arg;
};

struct reload {
	struct reload_request request;
	struct loader *loader; /* owned; NULL: nothing is under way */
	struct list now;       /* who waits for what is under way */
	struct list later;     /* who asked since it began */
	const char *refusal;   /* static; NULL: reloads are welcome */
	struct reload_tally tally;
};

struct reload *
reload_new(const struct reload_request *request)
{
	struct reload *reload = memory_zero(sizeof *reload);

	reload->request = *request;
	list_init(&reload->now);
	list_init(&reload->later);
	if (request->path == NULL)
		reload->refusal = "the configuration was read from a descriptor (-fd), and there "
				  "is no file to read again";
	return reload;
}

static void
answer(struct list *wishes, bool is_applied, const struct report *report)
{
	while (!list_is_empty(wishes)) {
		struct wish *wish = LIST_ITEM(wishes->next, struct wish, link);
		list_remove(&wish->link);
		if (wish->on_done != NULL)
			wish->on_done(wish->arg, is_applied, report);
		free(wish);
	}
}

static void
log_coming_and_going(const struct config *before, const struct config *after)
{
	for (size_t i = 0; i < after->service_count; i++) {
		if (!config_has_service(before, after->services[i]->name))
			serving_log_service(after->services[i]);
	}
	for (size_t i = 0; i < before->service_count; i++) {
		if (!config_has_service(after, before->services[i]->name))
			log_write(&log_main, LOG_LEVEL_NOTICE,
				  "Service [%s] is gone: it accepts nobody any more",
				  before->services[i]->name);
	}
}

/* What differs and cannot: it is used once, at start. */
static void
report_what_stays(const struct config *in_force, const struct config *config, struct report *report)
{
	for (size_t i = 0; i < global_options_table.count; i++) {
		const struct option_row *row = &global_options_table.rows[i];
		if (row->treatment != OPTION_HONOURED || (row->flags & OPTION_RELOADABLE) != 0 ||
		    option_is_equal(row, &in_force->global, &config->global))
			continue;
		report_add(
			report, REPORT_WARNING, config_option_at(config, row->name),
			"'%s' stays as it was at the start: a reload cannot change it, a restart "
			"can",
			row->name);
	}
}

/* Serves by `setup`, or changes nothing. */
static bool
apply(struct reload *reload, struct setup *setup, struct report *report)
{
	struct serving *serving = reload->request.serving;
	const struct config *after = setup_config(setup);
	const struct config *before = setup_config(serving_setup(serving));
	struct err err;

	report_what_stays(reload->request.in_force, after, report);
	if (!serving_prepare(serving, setup, report))
		return false;
	if (!log_options_change(&before->global, &after->global, &err)) {
		serving_forget(serving);
		report_add(report, REPORT_ERROR, config_option_at(after, "output"), "%s", err.text);
		return false;
	}
	log_coming_and_going(before, after);
	serving_switch(serving);
	return true;
}

static void
tell_manager(const struct reload *reload, bool is_applied)
{
	char status[SERVING_TEXT_SIZE];
	char text[SERVING_TEXT_SIZE + 80];

	(void)snprintf(text, sizeof text, "%s%s",
		       serving_describe(reload->request.serving, status, sizeof status),
		       is_applied ? "" : "; the last reload has failed, see the log");
	notify_ready(text);
}

/* The first error tells why, as a rule; the log has them all. */
static void
count(struct reload_tally *tally, bool is_applied, const struct report *report)
{
	const struct report_entry *entry = NULL;

	tally->count++;
	tally->failed += !is_applied;
	tally->at_ms = clock_wall_ms();
	tally->error[0] = '\0';
	for (size_t i = 0; !is_applied && (entry = report_get(report, i)) != NULL; i++) {
		if (entry->level == REPORT_ERROR)
			break;
	}
	if (entry != NULL)
		(void)snprintf(tally->error, sizeof tally->error, "%s", entry->text);
}

const struct reload_tally *
reload_get_tally(const struct reload *reload)
{
	return &reload->tally;
}

static bool begin(struct reload *reload);

/* For who asked since the load began. Why the one before failed is not theirs to hear. */
static void
begin_next(struct reload *reload)
{
	static const char why[] = "cannot reload again: out of memory or threads";

	if (list_is_empty(&reload->later) || begin(reload))
		return;
	struct report *report = report_new();
	report_add(report, REPORT_ERROR, (struct location){0}, "%s", why);
	log_options_tell(report, REPORT_ERROR, REPORT_NOTE);
	answer(&reload->later, false, report);
	report_free(report);
}

/* What came of the load is for the log, the service manager, and those who wait. */
static void
finish(struct reload *reload, struct setup *setup, struct report *report)
{
	bool is_applied = setup != NULL && apply(reload, setup, report);

	log_options_tell(report, REPORT_ERROR, REPORT_NOTE);
	if (is_applied)
		log_write(&log_main, LOG_LEVEL_NOTICE, "Reloaded %s: %zu service(s)",
			  reload->request.path, setup_config(setup)->service_count);
	else
		log_write(&log_main, LOG_LEVEL_ERROR,
			  "Nothing was changed by the reload: %s has %zu error(s)",
			  reload->request.path, report_count(report, REPORT_ERROR));
	tell_manager(reload, is_applied);
	count(&reload->tally, is_applied, report);
	answer(&reload->now, is_applied, report);
	begin_next(reload);
}

/* The file may be as good as any, but it comes too late. The service manager knows something newer:
 * that we stop. */
static void
give_up(struct reload *reload, struct report *report)
{
	log_write(&log_main, LOG_LEVEL_NOTICE, "The reload is given up: %s", reload->refusal);
	report_add(report, REPORT_ERROR, (struct location){0}, "%s", reload->refusal);
	answer(&reload->now, false, report);
	answer(&reload->later, false, report);
}

static void
on_loaded(void *arg, struct setup *setup, struct report *report)
{
	struct reload *reload = arg;

	loader_free(reload->loader);
	reload->loader = NULL;
	reload->tally.is_loading = false;
	if (reload->refusal != NULL)
		give_up(reload, report);
	else
		finish(reload, setup, report);
	setup_unref(setup);
	report_free(report);
}

/* Reads the file, for all who wait so far. False: no memory. */
static bool
begin(struct reload *reload)
{
	const struct reload_request *request = &reload->request;

	notify_reloading();
	reload->loader = loader_start(request->path, serving_setup(request->serving),
				      request->granted, request->inbox, on_loaded, reload);
	if (reload->loader == NULL) {
		tell_manager(reload, false);
		return false;
	}
	reload->tally.is_loading = true;
	while (!list_is_empty(&reload->later)) {
		struct list *link = reload->later.next;
		list_remove(link);
		list_append(&reload->now, link);
	}
	return true;
}

bool
reload_start(struct reload *reload, reload_done_cb *on_done, void *arg, struct err *err)
{
	struct wish *wish;

	if (reload->refusal != NULL)
		return err_set(err, "cannot reload: %s", reload->refusal);
	wish = memory_zero(sizeof *wish);
	wish->on_done = on_done;
	wish->arg = arg;
	list_append(&reload->later, &wish->link);
	if (reload->loader != NULL || begin(reload))
		return true;
	list_remove(&wish->link);
	free(wish);
	return err_set(err, "cannot reload: out of memory or threads");
}

void
reload_refuse(struct reload *reload, const char *why)
{
	reload->refusal = why;
}

void
reload_free(struct reload *reload)
{
	if (reload == NULL)
		return;
	struct report *report = report_new();
	loader_free(reload->loader);
	report_add(report, REPORT_ERROR, (struct location){0}, "the daemon has ended");
	answer(&reload->now, false, report);
	answer(&reload->later, false, report);
	report_free(report);
	free(reload);
}
