#ifndef CACHETUNNEL_CONFIG_VALIDATE_H
#define CACHETUNNEL_CONFIG_VALIDATE_H

#include "config/config.h"
#include "config/report.h"

/*
 * What one option decides about another: folds the old forms into the new ones, and finds what
 * cannot work together. Runs once, while a configuration is built and still changes. Private to
 * this layer.
 */

void validate_global(struct config *config, struct report *report);

/* `defaults_at` is the set_at of what stands above the first section: what a service only
 * inherits is no remark against it. */
void validate_service(struct service *service, const struct location *defaults_at,
		      struct report *report);

/* What concerns the services together: that there is one, their names, their addresses. */
void validate_services(const struct config *config, struct report *report);

/* What concerns bastions, once references to them are resolved. Takes `via` out of a bastion
 * where it leads in a circle, so that nobody who follows it is caught. */
void validate_bastions(struct config *config, struct report *report);

#endif
