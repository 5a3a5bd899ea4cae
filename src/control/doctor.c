#include "control/doctor.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "control/doctor_daemon.h"
#include "control/doctor_listener.h"
#include "control/doctor_report.h"
#include "control/doctor_walk.h"
#include "tunnel/setup.h"

#include <event2/event.h>
#include <libssh2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void
add_file_finding(struct doctor_report *report, enum doctor_verdict verdict, const char *text,
		 int64_t took_us)
{
	const struct doctor_finding finding = {
		.layer = DOCTOR_FILE,
		.verdict = verdict,
		.title = "file",
		.text = text,
		.took_us = took_us,
	};

	doctor_report_add(report, &finding);
}

static void
add_report(struct doctor_report *report, const struct report *found)
{
	static const enum doctor_verdict verdicts[] = {
		[REPORT_ERROR] = DOCTOR_FAILED,
		[REPORT_WARNING] = DOCTOR_NOTE,
		[REPORT_NOTE] = DOCTOR_NOTE,
	};
	const struct report_entry *entry;

	for (size_t i = 0; (entry = report_get(found, i)) != NULL; i++)
		add_file_finding(report, verdicts[entry->level], entry->text, -1);
}

/* Reads the configuration and all that it names; NULL, with findings, if it cannot be used. */
static struct setup *
load(const char *path, struct doctor_report *report)
{
	struct report *found = report_new();
	uint64_t began_us = clock_now_us();
	struct config *config = config_load(path, found);
	struct setup *setup = config != NULL ? setup_new(config, NULL, found) : NULL;
	char text[DOCTOR_TEXT_SIZE];

	config_unref(config);
	add_report(report, found);
	report_free(found);
	if (setup == NULL)
		return NULL;
	(void)snprintf(text, sizeof text, "%s is valid, with %zu service(s)",
		       setup_config(setup)->path, setup_config(setup)->service_count);
	add_file_finding(report, DOCTOR_OK, text, (int64_t)(clock_now_us() - began_us));
	return setup;
}

static bool
is_wanted(const char *const *names, const char *name)
{
	if (names[0] == NULL)
		return true;
	for (; *names != NULL; names++) {
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

static bool
has_all_services(const struct config *config, const char *const *names,
		 struct doctor_report *report)
{
	char text[DOCTOR_TEXT_SIZE];
	bool has_all = true;

	for (; *names != NULL; names++) {
		if (config_has_service(config, *names))
			continue;
		(void)snprintf(text, sizeof text, "%s has no service [%s]", config->path, *names);
		add_file_finding(report, DOCTOR_FAILED, text, -1);
		has_all = false;
	}
	return has_all;
}

static void
examine_service(struct doctor_walker *walker, const struct service *service, const json_t *status,
		struct doctor_report *report)
{
	const struct address_list *endpoints = &service->options.connect;

	doctor_report_begin_service(report, service);
	doctor_examine_listeners(service, report);
	doctor_daemon_tell(status, service, report);
	for (size_t i = 0; i < endpoints->count; i++) {
		doctor_report_begin_endpoint(report, &endpoints->items[i]);
		doctor_walk(walker, service->index, i);
	}
}

static void
examine(struct setup *setup, const struct doctor_request *request, struct doctor_report *report)
{
	const struct config *config = setup_config(setup);
	struct err err;
	struct doctor_walker *walker;

	if (!has_all_services(config, request->services, report))
		return;
	walker = doctor_walker_new(setup, report, &err);
	if (walker == NULL) {
		add_file_finding(report, DOCTOR_FAILED, err.text, -1);
		return;
	}
	json_t *status = doctor_daemon_ask(config);
	for (size_t i = 0; i < config->service_count; i++) {
		if (is_wanted(request->services, config->services[i]->name))
			examine_service(walker, config->services[i], status, report);
	}
	json_decref(status);
	doctor_walker_free(walker);
}

/* libevent's own words are as little wanted here as ours. */
static void
on_libevent_message(int severity ATTR_UNUSED, const char *text ATTR_UNUSED)
{
}

int
doctor_run(const struct doctor_request *request)
{
	struct doctor_report *report = doctor_report_new(request->is_json ? doctor_json_new()
									  : doctor_text_new());
	struct setup *setup;

	(void)signal(SIGPIPE, SIG_IGN);
	event_set_log_callback(on_libevent_message);
	(void)libssh2_init(0);
	setup = load(request->path, report);
	if (setup != NULL)
		examine(setup, request, report);
	setup_unref(setup);
	libssh2_exit();
	int status = doctor_report_finish(report);
	doctor_report_free(report);
	return status;
}
