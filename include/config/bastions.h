#ifndef CACHETUNNEL_CONFIG_BASTIONS_H
#define CACHETUNNEL_CONFIG_BASTIONS_H

#include "config/config.h"
#include "config/report.h"
#include "config/source.h"

#include <stdbool.h>

/*
 * Builds the bastions of a configuration: from their sections, and then from what services and
 * `via` refer to, which is a section's name, else `user@host:port` or the like, else an ssh
 * alias. The same text means the same bastion, wherever it stands. Private to this layer.
 */

struct bastions; /* the work in progress; the bastions themselves are the configuration's */

/* Both are borrowed until bastions_free(). Returns owned. */
struct bastions *bastions_new(struct config *config, struct report *report);
void bastions_free(struct bastions *bastions);

/* Whether a section of this name describes a bastion: `bastion`, a blank, and a name. */
bool bastions_is_section(const char *name);

/* Adds the bastion of a section (borrowed for the call) to the configuration. */
void bastions_add_section(struct bastions *bastions, const struct section *section);

/* Once all sections are there: finds what every service's `bastion` and every `via` refer to,
 * and adds to the configuration what is no section. May run ssh. */
void bastions_resolve(struct bastions *bastions);

/* Frees a bastion of a configuration. */
void bastions_free_one(struct bastion *bastion);

#endif
