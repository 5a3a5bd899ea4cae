#include "control/doctor_walk.h"

#include "base/log.h"
#include "base/memory.h"
#include "control/doctor_advice.h"
#include "control/doctor_report.h"
#include "control/doctor_steps.h"
#include "control/redis_probe.h"
#include "ssh/proxy_command.h"
#include "stream/tls_certificate.h"
#include "stream/tls_stream.h"
#include "tunnel/dialer.h"
#include "tunnel/generation.h"
#include "tunnel/health.h"
#include "tunnel/resolver.h"
#include "tunnel/step.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct doctor_walker {
	struct setup *setup;          /* borrowed */
	struct doctor_report *report; /* borrowed */
	struct event_base *base;      /* owned, as all below */
	struct resolver *resolver;
	struct health_book healths; /* nobody reads it */
	struct generation *generation;
	struct step_observer observer;
	bool *has_bastion_failed; /* for each of the configuration's */

	/* The present walk. */
	struct dial *dial;
	struct redis_probe *probe;
	struct stream *stream;
	const struct service *service; /* borrowed, as the next */
	const struct address *endpoint;
	struct resolved addresses;     /* that the last name had; count 0: none */
	bool has_failed;               /* a finding says why */
	char remark[DOCTOR_TEXT_SIZE]; /* a warning of the step that is under way; empty: none */
};

static void
add(struct doctor_walker *walker, struct doctor_finding finding)
{
	walker->has_failed = walker->has_failed || finding.verdict == DOCTOR_FAILED;
	doctor_report_add(walker->report, &finding);
}

static void
add_failure(struct doctor_walker *walker, const struct doctor_case *what, const char *title,
	    const struct err *err, int64_t took_us)
{
	char advice[DOCTOR_TEXT_SIZE];

	add(walker, (struct doctor_finding){
			    .layer = what->layer,
			    .verdict = DOCTOR_FAILED,
			    .title = title,
			    .text = err->text,
			    .advice = doctor_advise(what, advice, sizeof advice),
			    .took_us = took_us,
		    });
}

/* What the log would have said during the step. */
static void
add_remark(struct doctor_walker *walker, enum doctor_layer layer, const char *title)
{
	if (walker->remark[0] == '\0')
		return;
	add(walker, (struct doctor_finding){
			    .layer = layer,
			    .verdict = DOCTOR_NOTE,
			    .title = title,
			    .text = walker->remark,
			    .took_us = -1,
		    });
	walker->remark[0] = '\0';
}

static void
on_step(void *arg, const struct step *step)
{
	struct doctor_walker *walker = arg;
	struct tls_certificate certificate;
	struct doctor_case what = {
		.layer = doctor_step_layer(step),
		.service = walker->service,
		.bastion = step->bastion,
		.endpoint = walker->endpoint,
		.addresses = walker->addresses.count > 0 ? &walker->addresses : NULL,
	};
	char text[DOCTOR_TEXT_SIZE];
	char advice[DOCTOR_TEXT_SIZE];

	/* A channel fails, too, because there is no session for it; which was told. */
	if (step->err != NULL && walker->has_failed)
		return;
	if (step->kind == STEP_NAME && step->addresses != NULL)
		walker->addresses = *step->addresses;
	add_remark(walker, what.layer, doctor_step_title(step));
	if (step->err != NULL) {
		what.kind = step->err->kind;
		if (step->secured != NULL &&
		    tls_stream_get_certificate(step->secured, &certificate))
			what.certificate = &certificate;
		add_failure(walker, &what, doctor_step_title(step), step->err,
			    (int64_t)step->took_us);
		if (step->bastion != NULL && step->kind != STEP_CHANNEL)
			walker->has_bastion_failed[step->bastion->index] = true;
		return;
	}
	struct doctor_finding finding = {
		.layer = what.layer,
		.title = doctor_step_title(step),
		.text = text,
		.took_us = (int64_t)step->took_us,
	};
	finding.verdict = doctor_step_describe(step, walker->service, text, sizeof text, advice,
					       sizeof advice);
	finding.advice = finding.verdict == DOCTOR_NOTE ? advice : NULL;
	add(walker, finding);
}

static void
stop_walking(struct doctor_walker *walker)
{
	(void)event_base_loopbreak(walker->base);
}

static void
add_facts(struct doctor_walker *walker, const struct redis_facts *facts)
{
	char text[DOCTOR_TEXT_SIZE];
	char advice[DOCTOR_TEXT_SIZE];
	struct doctor_finding finding = {
		.layer = DOCTOR_REDIS,
		.title = "PING",
		.text = text,
		.took_us = (int64_t)facts->ping_us,
	};

	finding.verdict = doctor_facts_describe_ping(facts, text, sizeof text, advice,
						     sizeof advice);
	finding.advice = advice[0] != '\0' ? advice : NULL;
	add(walker, finding);
	if (!facts->is_up || facts->needs_login)
		return;
	finding.title = "server";
	finding.took_us = (int64_t)facts->info_us;
	finding.verdict = doctor_facts_describe_server(facts, text, sizeof text, advice,
						       sizeof advice);
	finding.advice = advice[0] != '\0' ? advice : NULL;
	add(walker, finding);
}

/* With TLS 1.3 a server refuses the lack of a certificate after the handshake only; and its words
 * may be lost with the connection. */
static bool
is_certificate_missing(const struct doctor_walker *walker, const struct err *err)
{
	const struct service_options *options = &walker->service->options;

	return err->kind == ERR_CERTIFICATE_OURS_NEEDED ||
	       (err->kind == ERR_DISCONNECTED && !options->plain && options->cert == NULL &&
		tls_stream_has_asked_for_us(walker->stream));
}

static void
on_probed(void *arg, const struct redis_facts *facts, const struct err *err)
{
	struct doctor_walker *walker = arg;

	stop_walking(walker);
	if (err == NULL) {
		add_facts(walker, facts);
		return;
	}
	bool is_tls = is_certificate_missing(walker, err);
	const struct doctor_case what = {
		.layer = is_tls ? DOCTOR_TLS : DOCTOR_REDIS,
		.kind = is_tls ? ERR_CERTIFICATE_OURS_NEEDED : err->kind,
		.service = walker->service,
		.endpoint = walker->endpoint,
	};
	add_failure(walker, &what, is_tls ? "TLS" : "PING", err, -1);
}

static void
on_dialled(void *arg, const struct dial_outcome *outcome, const struct err *err)
{
	struct doctor_walker *walker = arg;
	struct err no_memory;

	if (outcome != NULL) {
		walker->stream = outcome->stream;
		walker->probe = redis_probe_start(walker->base, walker->stream,
						  walker->service->options.timeout_busy_s,
						  on_probed, walker);
		if (walker->probe != NULL)
			return;
		(void)err_set(&no_memory, "out of memory");
		err = &no_memory;
	}
	stop_walking(walker);
	if (walker->has_failed)
		return; /* the step has told */
	const struct doctor_case what = {
		.layer = walker->service->bastion != NULL ? DOCTOR_BASTION : DOCTOR_CONNECT,
		.kind = err->kind,
		.service = walker->service,
		.bastion = walker->service->bastion,
		.endpoint = walker->endpoint,
	};
	add_failure(walker, &what, doctor_layer_name(what.layer), err, -1);
}

/* The first bastion on the way that could not be used before; NULL: none. */
static const struct bastion *
find_failed_bastion(const struct doctor_walker *walker)
{
	for (const struct bastion *bastion = walker->service->bastion; bastion != NULL;
	     bastion = bastion->via) {
		if (walker->has_bastion_failed[bastion->index])
			return bastion;
	}
	return NULL;
}

/* Its address and its server were good enough for another service, or were not. */
static bool
is_bastion_usable(struct doctor_walker *walker)
{
	const struct bastion *failed = find_failed_bastion(walker);
	char text[DOCTOR_TEXT_SIZE];

	if (failed == NULL)
		return true;
	(void)snprintf(text, sizeof text,
		       "bastion '%s' failed above, and is not asked again so soon", failed->name);
	add(walker, (struct doctor_finding){
			    .layer = DOCTOR_BASTION,
			    .verdict = DOCTOR_FAILED,
			    .title = "bastion",
			    .text = text,
			    .took_us = -1,
		    });
	return false;
}

void
doctor_walk(struct doctor_walker *walker, size_t service_index, size_t endpoint_index)
{
	const struct setup_service *service = setup_get_service(walker->setup, service_index);
	const struct dial_request request = {
		.base = walker->base,
		.resolver = walker->resolver,
		.service = service,
		.pool = generation_session_pool(walker->generation, service_index),
		.only = &service->service->options.connect.items[endpoint_index],
		.observer = &walker->observer,
		.log = &log_main,
	};

	walker->service = service->service;
	walker->endpoint = &service->service->options.connect.items[endpoint_index];
	walker->addresses.count = 0;
	walker->has_failed = false;
	walker->remark[0] = '\0';
	if (!is_bastion_usable(walker))
		return;
	walker->dial = dial_start(&request, on_dialled, walker);
	if (walker->dial != NULL)
		(void)event_base_dispatch(walker->base);

	redis_probe_free(walker->probe);
	stream_free(walker->stream);
	dial_free(walker->dial);
	walker->probe = NULL;
	walker->stream = NULL;
	walker->dial = NULL;
}

/* Warnings belong to the step that is under way; its failure tells itself. */
static void
on_log_line(void *arg, enum log_level level, const char *text)
{
	struct doctor_walker *walker = arg;

	if (level == LOG_LEVEL_WARNING)
		(void)snprintf(walker->remark, sizeof walker->remark, "%s", text);
}

struct doctor_walker *
doctor_walker_new(struct setup *setup, struct doctor_report *report, struct err *err)
{
	struct doctor_walker *walker = memory_zero(sizeof *walker);

	walker->setup = setup;
	walker->report = report;
	walker->observer = (struct step_observer){on_step, walker};
	health_book_init(&walker->healths);
	walker->has_bastion_failed =
		memory_zero((setup_config(setup)->bastion_count + 1) * sizeof(bool));
	log_divert(on_log_line, walker);
	walker->base = event_base_new();
	if (walker->base == NULL)
		goto fail;
	walker->resolver = resolver_new(walker->base);
	if (walker->resolver == NULL)
		goto fail;
	const struct generation_place place = {
		.base = walker->base,
		.resolver = walker->resolver,
		.healths = &walker->healths,
		.observer = &walker->observer,
		.worker_count = 1,
	};
	walker->generation = generation_new(&place, setup, NULL);
	if (walker->generation != NULL)
		return walker;
fail:
	(void)err_set(err, "cannot make an event loop: out of memory or descriptors");
	doctor_walker_free(walker);
	return NULL;
}

void
doctor_walker_free(struct doctor_walker *walker)
{
	if (walker == NULL)
		return;
	generation_unref(walker->generation);
	health_book_done(&walker->healths);
	if (walker->base != NULL)
		proxy_command_finish(walker->base);
	resolver_free(walker->resolver);
	if (walker->base != NULL)
		event_base_free(walker->base);
	log_divert(NULL, NULL);
	free(walker->has_bastion_failed);
	free(walker);
}
