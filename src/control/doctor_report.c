#include "control/doctor_report.h"

#include "base/memory.h"

#include <stdlib.h>

struct doctor_report {
	struct doctor_writer *writer; /* owned */
	int status;                   /* the layer that failed first; 0: none */
	size_t services;
	size_t failed_services;
	bool is_service_failed; /* the present one */
};

struct doctor_report *
doctor_report_new(struct doctor_writer *writer)
{
	struct doctor_report *report = memory_zero(sizeof *report);

	report->writer = writer;
	return report;
}

void
doctor_report_free(struct doctor_report *report)
{
	report->writer->ops->free(report->writer);
	free(report);
}

void
doctor_report_begin_service(struct doctor_report *report, const struct service *service)
{
	report->services++;
	report->is_service_failed = false;
	report->writer->ops->begin_service(report->writer, service);
}

void
doctor_report_begin_endpoint(struct doctor_report *report, const struct address *endpoint)
{
	report->writer->ops->begin_endpoint(report->writer, endpoint);
}

void
doctor_report_add(struct doctor_report *report, const struct doctor_finding *finding)
{
	if (finding->verdict == DOCTOR_FAILED) {
		if (report->status == 0)
			report->status = (int)finding->layer;
		if (!report->is_service_failed && report->services > 0)
			report->failed_services++;
		report->is_service_failed = true;
	}
	report->writer->ops->add(report->writer, finding);
}

int
doctor_report_finish(struct doctor_report *report)
{
	report->writer->ops->finish(report->writer, report->status, report->failed_services,
				    report->services);
	return report->status;
}

const char *
doctor_layer_name(enum doctor_layer layer)
{
	static const char *const names[DOCTOR_LAYER_END] = {
		[DOCTOR_FILE] = "file",         [DOCTOR_LISTENER] = "listener",
		[DOCTOR_NAME] = "name",         [DOCTOR_BASTION] = "bastion",
		[DOCTOR_HOST_KEY] = "host key", [DOCTOR_LOGIN] = "login",
		[DOCTOR_CHANNEL] = "channel",   [DOCTOR_CONNECT] = "TCP",
		[DOCTOR_TLS] = "TLS",           [DOCTOR_REDIS] = "Redis",
	};

	return names[layer];
}
