#ifndef CACHETUNNEL_CONTROL_LIGHT_H
#define CACHETUNNEL_CONTROL_LIGHT_H

#include "config/config.h"
#include "tunnel/health.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What has been seen of a service, as a person wants to see it: a light for each layer. */

enum light {
	LIGHT_UNKNOWN, /* nobody went there yet, or not since a layer above failed */
	LIGHT_UP,
	LIGHT_SHAKY, /* it works, and failed a short while ago, or will soon */
	LIGHT_DOWN,
};

/* Static: "unknown", "up", "shaky", "down". */
const char *light_name(enum light light);

/* Whether the service's way has this layer at all. */
bool light_has_layer(const struct service *service, enum health_layer layer);

/* At the moment `now_us` (clock_now_us()) and `now_s` (since 1970). `view` may be NULL. */
enum light light_of_layer(const struct service *service, const struct health_view *view,
			  enum health_layer layer, uint64_t now_us, int64_t now_s);

/* Of all its layers together: the worst of those that are known. */
enum light light_of_service(const struct service *service, const struct health_view *view,
			    uint64_t now_us, int64_t now_s);

#endif
