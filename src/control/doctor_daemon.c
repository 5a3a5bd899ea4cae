#include "control/doctor_daemon.h"

#include "control/control_socket.h"
#include "control/doctor_report.h"
#include "control/http_client.h"
#include "control/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PATIENCE_S = 5, PATH_SIZE = 256 };

/* A sentence that grows; what does not fit is cut. */
struct sentence {
	char text[DOCTOR_TEXT_SIZE];
	size_t length;
};

static void append(struct sentence *sentence, const char *format, ...) ATTR_PRINTF(2, 3);

static void
append(struct sentence *sentence, const char *format, ...)
{
	size_t room = sizeof sentence->text - sentence->length;
	va_list arguments;

	va_start(arguments, format);
	int count = vsnprintf(sentence->text + sentence->length, room, format, arguments);
	va_end(arguments);
	if (count > 0)
		sentence->length += (size_t)count < room ? (size_t)count : room - 1;
}

json_t *
doctor_daemon_ask(const struct config *config)
{
	const char *setting = config->global.control;
	char path[PATH_SIZE];
	struct http_answer answer;
	struct err err;
	json_t *status = NULL;

	if (control_socket_is_off(setting) ||
	    !control_socket_find(setting, path, sizeof path, &err) ||
	    !http_client_ask(path, "GET", "/status", PATIENCE_S, &answer, &err))
		return NULL;
	if (answer.status == 200)
		status = json_loadb(answer.body, answer.length, 0, NULL);
	http_answer_done(&answer);
	return status;
}

/* `otherwise` where there is no such text. */
static const char *
text_of(const json_t *object, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : otherwise;
}

static const json_t *
find_service(const json_t *status, const char *name)
{
	const json_t *services = json_object_get(status, "services");

	for (size_t i = 0; i < json_array_size(services); i++) {
		const json_t *service = json_array_get(services, i);
		if (strcmp(text_of(service, "name", ""), name) == 0)
			return service;
	}
	return NULL;
}

static void
append_tunnels(struct sentence *sentence, const json_t *status, const json_t *service)
{
	const json_t *addresses = json_object_get(service, "addresses");

	append(sentence, "process %lld has %lld tunnel(s)", json_number_of(status, "pid"),
	       json_number_of(json_object_get(service, "counts"), "tunnels_open"));
	for (size_t i = 0; i < json_array_size(addresses); i++) {
		const json_t *address = json_array_get(addresses, i);
		append(sentence, "%s %s (%lld)", i == 0 ? " to" : ",",
		       text_of(address, "address", "?"), json_number_of(address, "tunnels"));
	}
}

static void
append_move(struct sentence *sentence, const json_t *move)
{
	if (json_is_object(move))
		append(sentence, "; moved %.19sZ from %s to %s", text_of(move, "at", ""),
		       text_of(move, "from", "its server"), text_of(move, "to", "another"));
}

/* Whether there is one. */
static bool
append_down(struct sentence *sentence, const json_t *endpoints)
{
	bool is_any_down = false;

	for (size_t i = 0; i < json_array_size(endpoints); i++) {
		const json_t *endpoint = json_array_get(endpoints, i);
		if (strcmp(text_of(endpoint, "state", ""), "down") != 0)
			continue;
		append(sentence, "; %s is down: %s", text_of(endpoint, "address", "?"),
		       text_of(endpoint, "reason", ""));
		is_any_down = true;
	}
	return is_any_down;
}

void
doctor_daemon_tell(const json_t *status, const struct service *service,
		   struct doctor_report *report)
{
	const json_t *found = find_service(status, service->name);
	struct sentence sentence = {.length = 0};

	if (found == NULL)
		return;
	append_tunnels(&sentence, status, found);
	append(&sentence, "; %lld client(s) held, %lld warm connection(s)",
	       json_number_of(found, "held"), json_number_of(found, "warm"));
	append_move(&sentence, json_object_get(found, "last_move"));
	bool is_worth_a_note = append_down(&sentence, json_object_get(found, "endpoints")) ||
			       json_number_of(found, "held") > 0;
	const struct doctor_finding finding = {
		.layer = DOCTOR_LISTENER,
		.verdict = is_worth_a_note ? DOCTOR_NOTE : DOCTOR_OK,
		.title = "daemon",
		.text = sentence.text,
		.took_us = -1,
	};
	doctor_report_add(report, &finding);
}
