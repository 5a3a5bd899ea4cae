#include "config/validate.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What only a section can get wrong. */
static void
check_section(const struct bastion *bastion, struct report *report)
{
	const struct bastion_options *options = &bastion->options;

	/* A line with a bad host is an error of its own. */
	if (options->host == NULL && !bastion_option_is_set(bastion, "host"))
		report_add(report, REPORT_ERROR, bastion->at,
			   "bastion '%.80s' has no 'host'; write the SSH server's name or "
			   "address%s",
			   bastion->name,
			   options->proxy_command == NULL
				   ? ""
				   : ", which its host key is known by, even with 'proxyCommand'");
	if (options->via != NULL && options->proxy_command != NULL)
		report_add(report, REPORT_ERROR, bastion_option_at(bastion, "proxyCommand"),
			   "bastion '%.80s' has both 'via' and 'proxyCommand', which are two ways "
			   "to the same server; remove one",
			   bastion->name);
}

static void
check_host_key(const struct bastion *bastion, struct report *report)
{
	const struct bastion_options *options = &bastion->options;

	if (options->host_key_check != HOST_KEY_CHECK_NO)
		return;
	if (options->host_key.count > 0)
		report_add(report, REPORT_WARNING, bastion_option_at(bastion, "hostKeyCheck"),
			   "bastion '%.80s' has 'hostKey', which is checked all the same; remove "
			   "'hostKeyCheck = no'",
			   bastion->name);
	else
		report_add(report, REPORT_WARNING, bastion_option_at(bastion, "hostKeyCheck"),
			   "bastion '%.80s' accepts any host key: nothing tells it from an "
			   "impostor; %s",
			   bastion->name,
			   bastion->origin == BASTION_ALIAS
				   ? "remove StrictHostKeyChecking from ssh's configuration of it"
				   : "remove 'hostKeyCheck = no', or pin the key with 'hostKey'");
}

/* `bastion` is on a circle. */
static void
report_circle(const struct bastion *bastion, struct report *report)
{
	char chain[ERR_TEXT_SIZE];
	size_t used = 0;
	const struct bastion *hop = bastion;

	do {
		int added = snprintf(chain + used, sizeof chain - used, "'%.80s' via ", hop->name);
		if (added < 0 || (size_t)added >= sizeof chain - used)
			break;
		used += (size_t)added;
		hop = hop->via;
	} while (hop != bastion);
	report_add(report, REPORT_ERROR, bastion_option_at(bastion, "via"),
		   "the way to bastion '%.80s' leads in a circle: %s'%.80s'; remove one 'via'",
		   bastion->name, chain, hop->name);
}

/* Follows every `via` once: whoever is met twice on one walk is on a circle. */
static void
check_circles(const struct config *config, struct report *report)
{
	size_t *walks = memory_zero(config->bastion_count * sizeof *walks);

	for (size_t i = 0; i < config->bastion_count; i++) {
		const struct bastion *hop = config->bastions[i];
		while (hop != NULL && walks[hop->index] == 0) {
			walks[hop->index] = i + 1;
			hop = hop->via;
		}
		if (hop != NULL && walks[hop->index] == i + 1) {
			report_circle(hop, report);
			config->bastions[hop->index]->via = NULL;
		}
	}
	free(walks);
}

static void
check_use(const struct config *config, struct report *report)
{
	bool *used = memory_zero(config->bastion_count * sizeof *used);

	for (size_t i = 0; i < config->service_count; i++) {
		if (config->services[i]->bastion != NULL)
			used[config->services[i]->bastion->index] = true;
	}
	for (size_t i = 0; i < config->bastion_count; i++) {
		if (config->bastions[i]->via != NULL)
			used[config->bastions[i]->via->index] = true;
	}
	for (size_t i = 0; i < config->bastion_count; i++) {
		const struct bastion *bastion = config->bastions[i];
		if (!used[i])
			report_add(report, REPORT_NOTE, bastion->at,
				   "no service goes through bastion '%.80s'; write 'bastion = "
				   "%.80s' into one, or remove the section",
				   bastion->name, bastion->name);
	}
	free(used);
}

void
validate_bastions(struct config *config, struct report *report)
{
	for (size_t i = 0; i < config->bastion_count; i++) {
		const struct bastion *bastion = config->bastions[i];
		if (bastion->origin == BASTION_SECTION)
			check_section(bastion, report);
		check_host_key(bastion, report);
	}
	check_use(config, report);
	check_circles(config, report);
}
