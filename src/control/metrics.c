#include "control/metrics.h"

#include "base/text.h"
#include "tunnel/stats.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 512 };

struct writer {
	struct evbuffer *out;
	const struct control_facts *facts;
	const struct survey_result *result;
	bool is_openmetrics;
};

/* The head of a family. OpenMetrics names a counter without the "_total" that its samples have. */
static void
begin(const struct writer *writer, const char *name, const char *type, const char *unit,
      const char *help)
{
	const char *suffix = strcmp(type, "counter") == 0 && !writer->is_openmetrics ? "_total"
										     : "";

	(void)evbuffer_add_printf(writer->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix,
				  help, name, suffix, type);
	if (writer->is_openmetrics && unit != NULL)
		(void)evbuffer_add_printf(writer->out, "# UNIT %s %s\n", name, unit);
}

/* A label's value: quotes, backslashes and ends of line are escaped in the same way by both. */
static void
write_value(struct evbuffer *out, const char *text)
{
	char clean[NAME_SIZE];

	for (const char *at = text_to_utf8(clean, sizeof clean, text); *at != '\0'; at++) {
		if (*at == '\n')
			(void)evbuffer_add(out, "\\n", 2);
		else if (*at == '"' || *at == '\\')
			(void)evbuffer_add_printf(out, "\\%c", *at);
		else
			(void)evbuffer_add(out, at, 1);
	}
}

static void
begin_sample(const struct writer *writer, const char *name, const char *service)
{
	(void)evbuffer_add_printf(writer->out, "%s{service=\"", name);
	write_value(writer->out, service);
	(void)evbuffer_add(writer->out, "\"", 1);
}

static void
end_sample(const struct writer *writer, unsigned long long value)
{
	(void)evbuffer_add_printf(writer->out, "} %llu\n", value);
}

static void
sample(const struct writer *writer, const char *name, const char *service, const char *label,
       const char *label_value, unsigned long long value)
{
	begin_sample(writer, name, service);
	if (label != NULL)
		(void)evbuffer_add_printf(writer->out, ",%s=\"%s\"", label, label_value);
	end_sample(writer, value);
}

/* Goes through the services' counters; NULL after the last. Services of one name share theirs. */
static const struct stats *
next_stats(const struct writer *writer, size_t *at)
{
	const struct setup *setup = writer->facts->setup;

	for (; *at < setup_config(setup)->service_count; ++*at) {
		const struct stats *stats = setup_get_service(setup, *at)->stats;
		size_t first = 0;
		while (setup_get_service(setup, first)->stats != stats)
			first++;
		if (first == *at) {
			++*at;
			return stats;
		}
	}
	return NULL;
}

static void
write_tunnels(const struct writer *writer)
{
	const struct stats *stats;

	begin(writer, "cachetunnel_tunnels_open", "gauge", NULL, "Tunnels that are open now.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;)
		sample(writer, "cachetunnel_tunnels_open", stats->name, NULL, NULL,
		       stats_open_tunnels(stats));
	begin(writer, "cachetunnel_tunnels_opened", "counter", NULL,
	      "Clients for whom a tunnel was begun.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;)
		sample(writer, "cachetunnel_tunnels_opened_total", stats->name, NULL, NULL,
		       stats_read(&stats->opened));
	begin(writer, "cachetunnel_tunnels_closed", "counter", NULL,
	      "Tunnels that ended, by who or what ended them.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;) {
		for (size_t i = 0; i < STATS_END_COUNT; i++)
			sample(writer, "cachetunnel_tunnels_closed_total", stats->name, "reason",
			       stats_end_name((enum stats_end)i), stats_read(&stats->ended[i]));
	}
	begin(writer, "cachetunnel_clients_turned_away", "counter", NULL,
	      "Clients that were closed at once because of maxClients.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;)
		sample(writer, "cachetunnel_clients_turned_away_total", stats->name, NULL, NULL,
		       stats_read(&stats->turned_away));
	begin(writer, "cachetunnel_relayed_bytes", "counter", "bytes",
	      "Bytes passed on, without TLS, by direction.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;) {
		sample(writer, "cachetunnel_relayed_bytes_total", stats->name, "direction",
		       "to_server", stats_read(&stats->bytes_to_server));
		sample(writer, "cachetunnel_relayed_bytes_total", stats->name, "direction",
		       "to_client", stats_read(&stats->bytes_to_client));
	}
}

/* Each bucket has what the ones before it have. */
static void
write_histogram(const struct writer *writer, const char *name, const char *service,
		const struct stats_histogram *histogram)
{
	unsigned long long count = 0;
	char full_name[NAME_SIZE];

	(void)snprintf(full_name, sizeof full_name, "%s_bucket", name);
	for (size_t i = 0; i <= STATS_BUCKET_COUNT; i++) {
		count += stats_read(&histogram->buckets[i]);
		begin_sample(writer, full_name, service);
		if (i < STATS_BUCKET_COUNT)
			(void)evbuffer_add_printf(writer->out, ",le=\"%.4g\"", stats_bounds_s[i]);
		else
			(void)evbuffer_add_printf(writer->out, ",le=\"+Inf\"");
		end_sample(writer, count);
	}
	(void)snprintf(full_name, sizeof full_name, "%s_sum", name);
	begin_sample(writer, full_name, service);
	(void)evbuffer_add_printf(writer->out, "} %.6f\n",
				  (double)stats_read(&histogram->sum_us) / 1e6);
	(void)snprintf(full_name, sizeof full_name, "%s_count", name);
	sample(writer, full_name, service, NULL, NULL, count);
}

static void
write_latencies(const struct writer *writer)
{
	static const char connect_name[] = "cachetunnel_connect_duration_seconds";
	static const char handshake_name[] = "cachetunnel_handshake_duration_seconds";
	const struct stats *stats;

	begin(writer, connect_name, "histogram", "seconds",
	      "Time that connections to endpoints took, or channels through a bastion.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;)
		write_histogram(writer, connect_name, stats->name, &stats->connect);
	begin(writer, handshake_name, "histogram", "seconds", "Time that TLS handshakes took.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;)
		write_histogram(writer, handshake_name, stats->name, &stats->handshake);
	begin(writer, "cachetunnel_handshakes", "counter", NULL,
	      "TLS handshakes that went well, by whether a session was resumed.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;) {
		sample(writer, "cachetunnel_handshakes_total", stats->name, "session", "new",
		       stats_read(&stats->handshakes_new));
		sample(writer, "cachetunnel_handshakes_total", stats->name, "session", "resumed",
		       stats_read(&stats->handshakes_resumed));
	}
}

/* Failures of one family stand together in their enum. */
static void
write_failures(const struct writer *writer, const char *family, const char *help)
{
	const struct stats *stats;
	char name[NAME_SIZE];

	(void)snprintf(name, sizeof name, "cachetunnel_%s_failures", family);
	begin(writer, name, "counter", NULL, help);
	(void)snprintf(name, sizeof name, "cachetunnel_%s_failures_total", family);
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;) {
		for (size_t i = 0; i < STATS_FAILURE_COUNT; i++) {
			if (strcmp(stats_failure_family((enum stats_failure)i), family) == 0)
				sample(writer, name, stats->name, "kind",
				       stats_failure_name((enum stats_failure)i),
				       stats_read(&stats->failures[i]));
		}
	}
}

static void
write_certificates(const struct writer *writer)
{
	static const char name[] = "cachetunnel_certificate_expiry_timestamp_seconds";
	const struct stats *stats;

	begin(writer, name, "gauge", "seconds",
	      "When the certificate that the endpoint showed last expires.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;) {
		long long expires = atomic_load_explicit(&stats->certificate_expires,
							 memory_order_relaxed);
		if (expires > 0)
			sample(writer, name, stats->name, NULL, NULL, (unsigned long long)expires);
	}
}

static const struct whereabouts *
where_of(const struct writer *writer, const struct stats *stats)
{
	static const struct whereabouts nowhere;
	const struct inquiry_service *found = survey_find(writer->result, stats->name);

	return found != NULL ? &found->where : &nowhere;
}

static void
write_waiting(const struct writer *writer)
{
	const struct stats *stats;

	begin(writer, "cachetunnel_clients_held", "gauge", NULL,
	      "Clients that wait for an endpoint that cannot be reached.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;)
		sample(writer, "cachetunnel_clients_held", stats->name, NULL, NULL,
		       where_of(writer, stats)->held);
	begin(writer, "cachetunnel_warm_connections", "gauge", NULL,
	      "Connections that wait for clients.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;)
		sample(writer, "cachetunnel_warm_connections", stats->name, NULL, NULL,
		       where_of(writer, stats)->warm);
}

static void
write_endpoints(const struct writer *writer)
{
	const struct stats *stats;

	begin(writer, "cachetunnel_endpoint_up", "gauge", NULL,
	      "Whether the endpoint gets new tunnels as it should: 0 after it failed one, until it "
	      "works again.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;) {
		const struct whereabouts *where = where_of(writer, stats);
		for (size_t i = 0; i < where->endpoint_count; i++) {
			begin_sample(writer, "cachetunnel_endpoint_up", stats->name);
			(void)evbuffer_add_printf(writer->out, ",endpoint=\"");
			write_value(writer->out, where->endpoints[i].address);
			(void)evbuffer_add(writer->out, "\"", 1);
			end_sample(writer, where->endpoints[i].is_up ? 1 : 0);
		}
	}
}

static void
write_moves(const struct writer *writer)
{
	static const char name[] = "cachetunnel_last_move_timestamp_seconds";
	const struct stats *stats;

	begin(writer, "cachetunnel_moves", "counter", NULL,
	      "Times that a worker's tunnels had to leave a server that was the primary no longer.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;)
		sample(writer, "cachetunnel_moves_total", stats->name, NULL, NULL,
		       stats_read(&stats->moves));
	begin(writer, name, "gauge", "seconds", "When that was last.");
	for (size_t at = 0; (stats = next_stats(writer, &at)) != NULL;) {
		const struct inquiry_service *found = survey_find(writer->result, stats->name);
		if (found != NULL && found->view.move.at.wall_ms > 0)
			sample(writer, name, stats->name, NULL, NULL,
			       (unsigned long long)(found->view.move.at.wall_ms / 1000));
	}
}

static void
write_one(const struct writer *writer, const char *name, const char *type, const char *unit,
	  const char *help, double value)
{
	bool is_counter = strcmp(type, "counter") == 0;

	begin(writer, name, type, unit, help);
	(void)evbuffer_add_printf(writer->out, "%s%s %.15g\n", name, is_counter ? "_total" : "",
				  value);
}

static void
write_known(const struct writer *writer, const char *name, const char *unit, const char *help,
	    int64_t value)
{
	if (value >= 0)
		write_one(writer, name, "gauge", unit, help, (double)value);
}

/* Under the names that every program has for them. */
static void
write_process(const struct writer *writer, const struct resources_used *used)
{
	write_one(writer, "process_cpu_seconds", "counter", "seconds",
		  "Processor time used, in user and system mode.", used->processor_s);
	write_one(writer, "process_start_time_seconds", "gauge", "seconds",
		  "When the daemon was started.", (double)writer->facts->started_ms / 1e3);
	write_known(writer, "process_resident_memory_bytes", "bytes", "Memory in use.",
		    used->resident_bytes);
	write_known(writer, "process_virtual_memory_bytes", "bytes", "Address space in use.",
		    used->virtual_bytes);
	write_known(writer, "process_open_fds", NULL, "Descriptors that are open.",
		    used->open_descriptors);
	write_known(writer, "process_max_fds", NULL, "Descriptors that may be open.",
		    used->max_descriptors);
}

static void
write_daemon(const struct writer *writer)
{
	const struct control_facts *facts = writer->facts;
	const char *openssl = OpenSSL_version(OPENSSL_VERSION_STRING);

	begin(writer, "cachetunnel_build_info", "gauge", NULL,
	      "Always 1; which versions run here.");
	(void)evbuffer_add_printf(writer->out,
				  "cachetunnel_build_info{version=\"%s\",openssl=\"%s\","
				  "libevent=\"%s\"} 1\n",
				  CACHETUNNEL_VERSION, openssl, event_get_version());
	write_one(writer, "cachetunnel_workers", "gauge", NULL, "Threads that serve tunnels.",
		  (double)facts->worker_count);
	begin(writer, "cachetunnel_reloads", "counter", NULL,
	      "Reloads of the configuration, by whether it was applied.");
	(void)evbuffer_add_printf(writer->out,
				  "cachetunnel_reloads_total{result=\"applied\"} %u\n"
				  "cachetunnel_reloads_total{result=\"failed\"} %u\n",
				  facts->reloads - facts->reloads_failed, facts->reloads_failed);
}

/* RFC 9110 leaves the weights to us: who names it can read it. */
bool
metrics_wants_openmetrics(const char *accept)
{
	return accept != NULL && strstr(accept, "application/openmetrics-text") != NULL;
}

const char *
metrics_type(bool is_openmetrics)
{
	return is_openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
			      : "text/plain; version=0.0.4; charset=utf-8";
}

void
metrics_write(const struct control_facts *facts, const struct survey_result *result,
	      const struct resources_used *used, bool is_openmetrics, struct evbuffer *out)
{
	const struct writer writer = {
		.out = out,
		.facts = facts,
		.result = result,
		.is_openmetrics = is_openmetrics,
	};

	write_daemon(&writer);
	write_tunnels(&writer);
	write_latencies(&writer);
	write_failures(&writer, "resolution", "Names that could not be looked up, by kind.");
	write_failures(&writer, "connect", "Connections that did not come about, by kind.");
	write_failures(&writer, "bastion", "Bastions that did not let us in, by kind.");
	write_failures(&writer, "handshake", "TLS handshakes that failed, by kind.");
	write_failures(&writer, "verification", "Certificates that were not accepted, by kind.");
	write_certificates(&writer);
	write_waiting(&writer);
	write_endpoints(&writer);
	write_moves(&writer);
	write_process(&writer, used);
	if (is_openmetrics)
		(void)evbuffer_add_printf(out, "# EOF\n");
}
