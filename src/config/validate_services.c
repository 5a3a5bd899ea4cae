#include "config/validate.h"

#include "base/memory.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* Two things that compare as equal are told apart by their place in the files. */
struct ranked {
	const void *thing;
	size_t place;
};

static int
compare_places(const struct ranked *left, const struct ranked *right)
{
	return left->place < right->place ? -1 : left->place > right->place;
}

static int
compare_ranked_addresses(const void *left, const void *right)
{
	const struct ranked *one = left;
	const struct ranked *other = right;
	int order = address_compare(one->thing, other->thing);

	return order != 0 ? order : compare_places(one, other);
}

static int
compare_ranked_names(const void *left, const void *right)
{
	const struct ranked *one = left;
	const struct ranked *other = right;
	const struct service *service = one->thing;
	const struct service *other_service = other->thing;
	int order = strcmp(service->name, other_service->name);

	return order != 0 ? order : compare_places(one, other);
}

static void
check_names(const struct config *config, struct report *report)
{
	struct ranked *all = memory_grow(NULL, config->service_count, sizeof *all);

	for (size_t i = 0; i < config->service_count; i++)
		all[i] = (struct ranked){.thing = config->services[i], .place = i};
	qsort(all, config->service_count, sizeof *all, compare_ranked_names);
	for (size_t i = 1; i < config->service_count; i++) {
		const struct service *earlier = all[i - 1].thing;
		const struct service *later = all[i].thing;
		if (strcmp(earlier->name, later->name) == 0)
			report_add(report, REPORT_WARNING, later->at,
				   "%.256s:%u has a section [%.80s] too; both are used, but give "
				   "each a name of its own to tell them apart",
				   earlier->at.file, earlier->at.line, later->name);
	}
	free(all);
}

static void
check_accepts(const struct config *config, struct report *report)
{
	size_t count = 0;

	for (size_t i = 0; i < config->service_count; i++)
		count += config->services[i]->options.accept.count;
	struct ranked *all = memory_grow(NULL, count, sizeof *all);
	count = 0;
	for (size_t i = 0; i < config->service_count; i++) {
		const struct address_list *list = &config->services[i]->options.accept;
		for (size_t j = 0; j < list->count; j++, count++)
			all[count] = (struct ranked){.thing = &list->items[j], .place = count};
	}
	qsort(all, count, sizeof *all, compare_ranked_addresses);
	for (size_t i = 1; i < count; i++) {
		const struct address *earlier = all[i - 1].thing;
		const struct address *later = all[i].thing;
		char text[ERR_TEXT_SIZE];
		if (address_compare(earlier, later) == 0)
			report_add(report, REPORT_ERROR, later->at,
				   "%.256s:%u accepts on %s already; give each 'accept' an address "
				   "of its own",
				   earlier->at.file, earlier->at.line,
				   address_format(later, text, sizeof text));
	}
	free(all);
}

static struct service *
find_service(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->service_count; i++) {
		if (strcmp(config->services[i]->name, name) == 0)
			return config->services[i];
	}
	return NULL;
}

/* A service's fallback is another service, and reached the same way, by the same worker. */
static void
settle_fallbacks(const struct config *config, struct report *report)
{
	for (size_t i = 0; i < config->service_count; i++) {
		struct service *service = config->services[i];
		const char *name = service->options.fallback;
		if (name == NULL || text_equal_nocase(name, "none"))
			continue;
		const struct service *other = find_service(config, name);
		struct location at = service_option_at(service, "fallback");
		if (other == service)
			report_add(report, REPORT_ERROR, at,
				   "'fallback' of service '%.80s' must be another service, not "
				   "itself",
				   service->name);
		else if (other == NULL)
			report_add(report, REPORT_ERROR, at,
				   "'fallback' of service '%.80s' must be another service; there "
				   "is no [%.80s]",
				   service->name, name);
		else if (other->bastion != service->bastion)
			report_add(report, REPORT_ERROR, at,
				   "'fallback' of service '%.80s' must go through the same "
				   "bastion; [%.80s] does not",
				   service->name, name);
		else
			service->fallback = other;
	}
}

void
validate_services(const struct config *config, struct report *report)
{
	if (config->service_count == 0)
		report_add(report, REPORT_ERROR, (struct location){.file = config->path},
			   "there is no service; add a [section] with 'client = yes', 'accept' and "
			   "'connect'");
	check_names(config, report);
	check_accepts(config, report);
	settle_fallbacks(config, report);
}
