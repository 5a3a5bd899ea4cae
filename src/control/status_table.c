#include "control/status_table.h"

#include "base/text.h"
#include "control/json.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_SIZE = 1024, SIZE_TEXT_SIZE = 32 };

static const char *
name_or(const char *name, const char *other)
{
	return name[0] != '\0' ? name : other;
}

/* A member's text, made fit for a terminal; empty if there is none. */
static const char *
text_of(const json_t *object, const char *name, char *out, size_t size)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text_escape(out, size, text != NULL ? text : "");
}

static const char *
colour_of(const char *state)
{
	if (strcmp(state, "up") == 0)
		return "\033[32m";
	if (strcmp(state, "shaky") == 0)
		return "\033[33m";
	return strcmp(state, "down") == 0 ? "\033[31m" : "\033[2m";
}

static void
print_state(const char *state, bool is_coloured)
{
	if (is_coloured)
		(void)printf("%s%s\033[0m", colour_of(state), state);
	else
		(void)printf("%s", state);
}

static const char *
format_size(long long bytes, char *out)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double size = (double)bytes;
	size_t unit = 0;

	for (; size >= 1024 && unit < sizeof units / sizeof units[0] - 1; unit++)
		size /= 1024;
	(void)snprintf(out, SIZE_TEXT_SIZE, unit == 0 ? "%.0f %s" : "%.1f %s", size, units[unit]);
	return out;
}

static void
print_span(double seconds)
{
	long long whole = (long long)seconds;

	if (whole >= 86400)
		(void)printf("%lld d %lld h", whole / 86400, whole / 3600 % 24);
	else if (whole >= 3600)
		(void)printf("%lld h %lld min", whole / 3600, whole / 60 % 60);
	else if (whole >= 60)
		(void)printf("%lld min %lld s", whole / 60, whole % 60);
	else
		(void)printf("%lld s", whole);
}

static void
print_addresses(const json_t *list)
{
	char text[TEXT_SIZE];

	for (size_t index = 0; index < json_array_size(list); index++) {
		const json_t *item = json_array_get(list, index);
		const char *address = json_string_value(item);
		(void)printf("%s%s", index > 0 ? ", " : "",
			     text_escape(text, sizeof text, address != NULL ? address : ""));
	}
}

static void
print_layers(const json_t *layers, bool is_coloured)
{
	char name[TEXT_SIZE];
	char state[TEXT_SIZE];

	(void)printf("  ");
	for (size_t index = 0; index < json_array_size(layers); index++) {
		const json_t *layer = json_array_get(layers, index);
		(void)printf("%s%s ", index > 0 ? ", " : "",
			     text_of(layer, "layer", name, sizeof name));
		print_state(text_of(layer, "state", state, sizeof state), is_coloured);
	}
	(void)printf("\n");
}

static void
print_errors(const json_t *layers)
{
	char name[TEXT_SIZE];
	char at[TEXT_SIZE];
	char text[TEXT_SIZE];

	for (size_t index = 0; index < json_array_size(layers); index++) {
		const json_t *layer = json_array_get(layers, index);
		const json_t *error = json_object_get(layer, "error");
		if (json_is_object(error))
			(void)printf("  last error of %s, %.19sZ: %s\n",
				     text_of(layer, "layer", name, sizeof name),
				     text_of(error, "at", at, sizeof at),
				     text_of(error, "text", text, sizeof text));
	}
}

static void
print_certificate(const json_t *certificate)
{
	char names[TEXT_SIZE];

	if (json_is_object(certificate))
		(void)printf("  certificate for %s, %lld day(s) left\n",
			     text_of(certificate, "names", names, sizeof names),
			     json_number_of(certificate, "days_left"));
}

static void
print_counts(const json_t *counts)
{
	char to_server[SIZE_TEXT_SIZE];
	char to_client[SIZE_TEXT_SIZE];

	(void)printf("  %lld open, %lld so far; %s to server, %s to client\n",
		     json_number_of(counts, "tunnels_open"),
		     json_number_of(counts, "tunnels_opened"),
		     format_size(json_number_of(counts, "bytes_to_server"), to_server),
		     format_size(json_number_of(counts, "bytes_to_client"), to_client));
}

static void
print_endpoints(const json_t *endpoints, bool is_coloured)
{
	char text[TEXT_SIZE];

	/* One endpoint's state is that of the layers. */
	for (size_t i = 0; json_array_size(endpoints) > 1 && i < json_array_size(endpoints); i++) {
		const json_t *endpoint = json_array_get(endpoints, i);
		(void)printf("  endpoint %s ", text_of(endpoint, "address", text, sizeof text));
		print_state(text_of(endpoint, "state", text, sizeof text), is_coloured);
		if (text_of(endpoint, "since", text, sizeof text)[0] != '\0')
			(void)printf(" since %.19sZ", text);
		(void)printf(", %lld tunnel(s)", json_number_of(endpoint, "tunnels"));
		if (text_of(endpoint, "reason", text, sizeof text)[0] != '\0')
			(void)printf(": %s", text);
		(void)printf("\n");
	}
}

static void
print_whereabouts(const json_t *service)
{
	const json_t *addresses = json_object_get(service, "addresses");
	const json_t *move = json_object_get(service, "last_move");
	char at[TEXT_SIZE];
	char from[TEXT_SIZE];
	char to[TEXT_SIZE];

	for (size_t i = 0; i < json_array_size(addresses); i++) {
		const json_t *address = json_array_get(addresses, i);
		(void)printf("%s%s (%lld)", i == 0 ? "  tunnels to " : ", ",
			     text_of(address, "address", to, sizeof to),
			     json_number_of(address, "tunnels"));
	}
	if (json_array_size(addresses) > 0)
		(void)printf("\n");
	if (json_number_of(service, "held") > 0 || json_number_of(service, "warm") > 0)
		(void)printf("  %lld client(s) held, %lld warm connection(s)\n",
			     json_number_of(service, "held"), json_number_of(service, "warm"));
	if (json_is_object(move))
		(void)printf("  moved %.19sZ from %s to %s\n", text_of(move, "at", at, sizeof at),
			     name_or(text_of(move, "from", from, sizeof from), "its server"),
			     name_or(text_of(move, "to", to, sizeof to), "another"));
}

static void
print_service(const json_t *service, bool is_coloured)
{
	const json_t *layers = json_object_get(service, "layers");
	char text[TEXT_SIZE];

	(void)printf("\n[%s] ", text_of(service, "name", text, sizeof text));
	print_state(text_of(service, "state", text, sizeof text), is_coloured);
	(void)printf("   ");
	print_addresses(json_object_get(service, "accept"));
	(void)printf(" -> ");
	print_addresses(json_object_get(service, "connect"));
	if (text_of(service, "bastion", text, sizeof text)[0] != '\0')
		(void)printf(" through %s", text);
	(void)printf("\n");
	print_layers(layers, is_coloured);
	print_counts(json_object_get(service, "counts"));
	print_endpoints(json_object_get(service, "endpoints"), is_coloured);
	print_whereabouts(service);
	print_certificate(json_object_get(service, "certificate"));
	print_errors(layers);
}

void
status_table_print(const json_t *status, bool is_coloured)
{
	const json_t *workers = json_object_get(status, "workers");
	char version[TEXT_SIZE];
	char phase[TEXT_SIZE];
	const json_t *services = json_object_get(status, "services");

	(void)printf("cachetunnel %s, process %lld, %s for ",
		     text_of(status, "version", version, sizeof version),
		     json_number_of(status, "pid"), text_of(status, "phase", phase, sizeof phase));
	print_span(json_number_value(json_object_get(status, "uptime_s")));
	(void)printf(", %lld worker(s)", json_number_of(workers, "count"));
	if (json_number_of(workers, "answered") < json_number_of(workers, "count"))
		(void)printf(", of which %lld do not answer",
			     json_number_of(workers, "count") -
				     json_number_of(workers, "answered"));
	(void)printf("\n");
	for (size_t i = 0; i < json_array_size(services); i++)
		print_service(json_array_get(services, i), is_coloured);
}
