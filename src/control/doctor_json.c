#include "control/doctor_report.h"

#include "base/memory.h"
#include "base/text.h"
#include "config/config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* For programs: one document, once all is known. Texts are escaped as those on a terminal are, so
 * that they are proper UTF-8 whatever a server calls itself. */

struct json_writer {
	struct doctor_writer writer; /* first, so that the two can be cast */
	json_t *file;                /* owned: findings about the file; then an array */
	json_t *services;            /* owned */
	json_t *findings;            /* borrowed from one of them: where the next goes */
	json_t *endpoints;           /* borrowed from the present service */
};

static struct json_writer *
from_writer(struct doctor_writer *writer)
{
	return (struct json_writer *)(void *)writer;
}

static json_t *
new_text(const char *text)
{
	char shown[DOCTOR_TEXT_SIZE];

	return json_string(text_escape(shown, sizeof shown, text));
}

static void
begin_service(struct doctor_writer *writer, const struct service *service)
{
	struct json_writer *json = from_writer(writer);
	json_t *object = json_object();

	json->findings = json_array();
	json->endpoints = json_array();
	(void)json_object_set_new(object, "service", new_text(service->name));
	(void)json_object_set_new(object, "findings", json->findings);
	(void)json_object_set_new(object, "endpoints", json->endpoints);
	(void)json_array_append_new(json->services, object);
}

static void
begin_endpoint(struct doctor_writer *writer, const struct address *endpoint)
{
	struct json_writer *json = from_writer(writer);
	json_t *object = json_object();
	char name[DOCTOR_TEXT_SIZE];

	json->findings = json_array();
	(void)json_object_set_new(object, "endpoint",
				  new_text(address_format(endpoint, name, sizeof name)));
	(void)json_object_set_new(object, "findings", json->findings);
	(void)json_array_append_new(json->endpoints, object);
}

static void
add(struct doctor_writer *writer, const struct doctor_finding *finding)
{
	static const char *const verdicts[] = {
		[DOCTOR_OK] = "ok",
		[DOCTOR_NOTE] = "note",
		[DOCTOR_FAILED] = "failed",
	};
	json_t *object = json_object();

	(void)json_object_set_new(object, "verdict", json_string(verdicts[finding->verdict]));
	(void)json_object_set_new(object, "layer", json_integer((json_int_t)finding->layer));
	(void)json_object_set_new(object, "layer_name",
				  json_string(doctor_layer_name(finding->layer)));
	(void)json_object_set_new(object, "step", new_text(finding->title));
	(void)json_object_set_new(object, "text", new_text(finding->text));
	if (finding->advice != NULL)
		(void)json_object_set_new(object, "advice", new_text(finding->advice));
	if (finding->took_us >= 0)
		(void)json_object_set_new(object, "took_ms",
					  json_real((double)finding->took_us / 1e3));
	(void)json_array_append_new(from_writer(writer)->findings, object);
}

static void
finish(struct doctor_writer *writer, int status, size_t failed, size_t count)
{
	struct json_writer *json = from_writer(writer);
	json_t *document = json_object();

	(void)json_object_set_new(document, "status", json_integer(status));
	(void)json_object_set_new(document, "services_failed", json_integer((json_int_t)failed));
	(void)json_object_set_new(document, "services_examined", json_integer((json_int_t)count));
	(void)json_object_set(document, "file", json->file);
	(void)json_object_set(document, "services", json->services);
	(void)json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	(void)putchar('\n');
	(void)fflush(stdout);
	json_decref(document);
}

static void
free_writer(struct doctor_writer *writer)
{
	struct json_writer *json = from_writer(writer);

	json_decref(json->file);
	json_decref(json->services);
	free(json);
}

static const struct doctor_writer_ops ops = {
	.begin_service = begin_service,
	.begin_endpoint = begin_endpoint,
	.add = add,
	.finish = finish,
	.free = free_writer,
};

struct doctor_writer *
doctor_json_new(void)
{
	struct json_writer *json = memory_zero(sizeof *json);

	json->writer.ops = &ops;
	json->file = json_array();
	json->services = json_array();
	json->findings = json->file;
	return &json->writer;
}
