#include "control/status.h"

#include "base/clock.h"
#include "control/json.h"
#include "control/light.h"
#include "control/status_where.h"
#include "tunnel/listener.h"
#include "tunnel/stats.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DAY_S = 24 * 60 * 60 };

static const char *const phase_names[] = {
	[CONTROL_STARTING] = "starting",
	[CONTROL_RUNNING] = "running",
	[CONTROL_RELOADING] = "reloading",
	[CONTROL_STOPPING] = "stopping",
};

/* All that a service is told from. */
struct subject {
	const struct setup_service *service;
	const struct listener *listener;     /* NULL: none */
	const struct inquiry_service *found; /* NULL, both: nothing is known */
	const struct health_view *view;
	uint64_t now_us;
	int64_t now_s;
};

const char *
status_phase_name(enum control_phase phase)
{
	return phase_names[phase];
}

static struct subject
subject_at(const struct control_facts *facts, const struct survey_result *result, size_t index)
{
	const struct setup_service *service = setup_get_service(facts->setup, index);
	const struct inquiry_service *found = survey_find(result, service->service->name);

	return (struct subject){
		.service = service,
		.listener = facts->listeners != NULL ? facts->listeners[index] : NULL,
		.found = found,
		.view = found != NULL ? &found->view : NULL,
		.now_us = clock_now_us(),
		.now_s = clock_wall_ms() / 1000,
	};
}

static json_t *
list_addresses(const struct address_list *list)
{
	json_t *array = json_array();
	char text[SOCKET_NAME_SIZE];

	for (size_t i = 0; i < list->count; i++)
		(void)json_array_append_new(
			array, json_text(address_format(&list->items[i], text, sizeof text)));
	return array;
}

static json_t *
describe_error(int64_t wall_ms, const char *text)
{
	if (wall_ms == 0)
		return json_null();
	return json_pack("{s:o, s:o}", "at", json_moment(wall_ms), "text", json_text(text));
}

static json_t *
describe_listener(const struct subject *subject, enum control_phase phase)
{
	const struct listener_state *state = NULL;
	enum light light = LIGHT_DOWN;

	if (subject->listener != NULL && phase != CONTROL_STOPPING) {
		state = listener_get_state(subject->listener);
		light = state->is_paused ? LIGHT_SHAKY : LIGHT_UP;
	}
	return json_pack("{s:s, s:s, s:n, s:o, s:n}", "layer", "listener", "state",
			 light_name(light), "ok_at", "error",
			 state != NULL ? describe_error(state->paused_ms, state->pause_reason)
				       : json_null(),
			 "detail");
}

/* A few words about what was reached. */
static json_t *
describe_detail(const struct subject *subject, enum health_layer layer)
{
	const struct health_view *view = subject->view;
	const struct bastion *bastion = subject->service->service->bastion;
	char text[128] = "";

	if (layer == HEALTH_BASTION && bastion != NULL)
		return json_text(bastion->name);
	if (layer == HEALTH_CONNECT && view != NULL)
		(void)snprintf(text, sizeof text, "%s", view->reached);
	if (layer == HEALTH_TLS && view != NULL && view->secured_at.at_us != 0)
		(void)snprintf(text, sizeof text, "%s %s", view->tls_version, view->tls_cipher);
	return text[0] != '\0' ? json_text(text) : json_null();
}

static json_t *
describe_layer(const struct subject *subject, enum health_layer layer)
{
	static const struct health_step nothing;
	const struct health_step *step = subject->view != NULL ? &subject->view->steps[layer]
							       : &nothing;
	enum light light = light_of_layer(subject->service->service, subject->view, layer,
					  subject->now_us, subject->now_s);

	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "layer", health_layer_name(layer), "state",
			 light_name(light), "ok_at", json_moment(step->passed.wall_ms), "error",
			 describe_error(step->failed.wall_ms, step->error), "detail",
			 describe_detail(subject, layer));
}

static json_t *
list_layers(const struct subject *subject, enum control_phase phase)
{
	json_t *array = json_array();

	(void)json_array_append_new(array, describe_listener(subject, phase));
	for (size_t i = 0; i < HEALTH_LAYER_COUNT; i++) {
		if (light_has_layer(subject->service->service, (enum health_layer)i))
			(void)json_array_append_new(array,
						    describe_layer(subject, (enum health_layer)i));
	}
	return array;
}

static json_t *
describe_certificate(const struct subject *subject)
{
	const struct health_view *view = subject->view;

	if (view == NULL || view->certificate_expires == 0)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:I}", "names", json_text(view->certificate_names),
			 "issuer", json_text(view->certificate_issuer), "expires_at",
			 json_moment(view->certificate_expires * 1000), "days_left",
			 (json_int_t)((view->certificate_expires - subject->now_s) / DAY_S));
}

static json_t *
count_ends(const struct stats *stats)
{
	json_t *object = json_object();

	for (size_t i = 0; i < STATS_END_COUNT; i++)
		(void)json_object_set_new(object, stats_end_name((enum stats_end)i),
					  json_integer((json_int_t)stats_read(&stats->ended[i])));
	return object;
}

static json_t *
describe_histogram(const struct stats_histogram *histogram)
{
	unsigned long long count = 0;

	for (size_t i = 0; i <= STATS_BUCKET_COUNT; i++)
		count += stats_read(&histogram->buckets[i]);
	return json_pack("{s:I, s:f}", "count", (json_int_t)count, "sum_s",
			 (double)stats_read(&histogram->sum_us) / 1e6);
}

static json_t *
count(const atomic_ullong *counter)
{
	return json_integer((json_int_t)stats_read(counter));
}

static json_t *
describe_counts(const struct stats *stats)
{
	return json_pack(
		"{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "tunnels_open",
		(json_int_t)stats_open_tunnels(stats), "tunnels_opened", count(&stats->opened),
		"tunnels_ended", count_ends(stats), "turned_away", count(&stats->turned_away),
		"bytes_to_server", count(&stats->bytes_to_server), "bytes_to_client",
		count(&stats->bytes_to_client), "connect", describe_histogram(&stats->connect),
		"handshake", describe_histogram(&stats->handshake), "handshakes_new",
		count(&stats->handshakes_new), "handshakes_resumed",
		count(&stats->handshakes_resumed));
}

static json_t *
describe_service(const struct subject *subject, enum control_phase phase)
{
	const struct service *service = subject->service->service;
	enum light light = light_of_service(service, subject->view, subject->now_us,
					    subject->now_s);

	json_t *object = json_pack(
		"{s:o, s:s, s:o, s:o, s:o, s:b, s:o, s:o, s:o}", "name", json_text(service->name),
		"state", light_name(light), "accept", list_addresses(&service->options.accept),
		"connect", list_addresses(&service->options.connect), "bastion",
		json_text(service->bastion != NULL ? service->bastion->name : NULL), "plain",
		service->options.plain, "layers", list_layers(subject, phase), "certificate",
		describe_certificate(subject), "counts", describe_counts(subject->service->stats));
	if (object != NULL)
		status_where_add(object, subject->found, subject->service->stats);
	return object;
}

static json_t *
list_services(const struct control_facts *facts, const struct survey_result *result)
{
	json_t *array = json_array();
	size_t count = setup_config(facts->setup)->service_count;

	for (size_t i = 0; i < count; i++) {
		struct subject subject = subject_at(facts, result, i);
		(void)json_array_append_new(array, describe_service(&subject, facts->phase));
	}
	return array;
}

static json_t *
describe_tunnel(const struct tunnel_view *view, uint64_t now_us)
{
	double open_s = now_us > view->accepted_us ? (double)(now_us - view->accepted_us) / 1e6 : 0;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:I, s:I}", "id", json_text(view->id),
			 "service", json_text(view->service), "peer", json_text(view->peer),
			 "endpoint", json_text(view->endpoint), "server", json_text(view->server),
			 "security", json_text(view->security), "open_s", open_s, "bytes_to_server",
			 (json_int_t)view->bytes_to_server, "bytes_to_client",
			 (json_int_t)view->bytes_to_client);
}

static json_t *
list_tunnels(const struct survey_result *result)
{
	json_t *array = json_array();
	uint64_t now_us = clock_now_us();

	for (size_t i = 0; i < result->tunnel_count; i++)
		(void)json_array_append_new(array, describe_tunnel(&result->tunnels[i], now_us));
	return array;
}

static json_t *
describe_reload(const struct control_facts *facts)
{
	return json_pack("{s:I, s:I, s:o, s:o}", "count", (json_int_t)facts->reloads, "failed",
			 (json_int_t)facts->reloads_failed, "at", json_moment(facts->reloaded_ms),
			 "error", json_text(facts->reload_error));
}

bool
status_write(const struct control_facts *facts, const struct survey_result *result,
	     struct evbuffer *out)
{
	return json_write(
		json_pack("{s:s, s:I, s:s, s:b, s:o, s:o, s:f, s:{s:I, s:I}, s:o, s:o, s:o, s:o}",
			  "version", CACHETUNNEL_VERSION, "pid", (json_int_t)getpid(), "phase",
			  status_phase_name(facts->phase), "ready", status_is_listening(facts),
			  "now", json_moment(clock_wall_ms()), "started_at",
			  json_moment(facts->started_ms), "uptime_s",
			  (double)facts->uptime_us / 1e6, "workers", "count",
			  (json_int_t)result->asked, "answered", (json_int_t)result->answered,
			  "confinement", json_text(facts->confinement), "reload",
			  describe_reload(facts), "services", list_services(facts, result),
			  "tunnels", list_tunnels(result)),
		out);
}

bool
status_is_listening(const struct control_facts *facts)
{
	return facts->phase == CONTROL_RUNNING || facts->phase == CONTROL_RELOADING;
}

/* The last layer that there is tells for all before it. */
static bool
is_up(const struct subject *subject)
{
	enum light light = light_of_layer(subject->service->service, subject->view, HEALTH_REDIS,
					  subject->now_us, subject->now_s);

	return light == LIGHT_UP || light == LIGHT_SHAKY;
}

bool
status_is_upstream_up(const struct control_facts *facts, const struct survey_result *result)
{
	for (size_t i = 0; i < setup_config(facts->setup)->service_count; i++) {
		struct subject subject = subject_at(facts, result, i);
		if (!is_up(&subject))
			return false;
	}
	return true;
}

/* The error of the first layer that is down. */
static const char *
first_error(const struct subject *subject)
{
	for (size_t i = 0; subject->view != NULL && i < HEALTH_LAYER_COUNT; i++) {
		if (light_of_layer(subject->service->service, subject->view, (enum health_layer)i,
				   subject->now_us, subject->now_s) == LIGHT_DOWN)
			return subject->view->steps[i].error;
	}
	return "no answer yet";
}

void
status_write_upstream(const struct control_facts *facts, const struct survey_result *result,
		      struct evbuffer *out)
{
	for (size_t i = 0; i < setup_config(facts->setup)->service_count; i++) {
		struct subject subject = subject_at(facts, result, i);
		bool is_good = is_up(&subject);
		(void)evbuffer_add_printf(
			out, "[%s] %s%s\n", subject.service->service->name,
			is_good ? "up" : "down: ", is_good ? "" : first_error(&subject));
	}
}
