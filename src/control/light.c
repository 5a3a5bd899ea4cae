#include "control/light.h"

enum {
	SHAKY_S = 300,         /* so long after a failure somebody may still be looking for it */
	CERTIFICATE_DAYS = 14, /* AWS renews earlier than that */
	DAY_S = 24 * 60 * 60,
};

static const char *const names[] = {
	[LIGHT_UNKNOWN] = "unknown",
	[LIGHT_UP] = "up",
	[LIGHT_SHAKY] = "shaky",
	[LIGHT_DOWN] = "down",
};

const char *
light_name(enum light light)
{
	return names[light];
}

static bool
has_name(const struct service *service)
{
	const struct address_list *endpoints = &service->options.connect;

	if (service->bastion != NULL)
		return false; /* it is looked up on the other side */
	for (size_t i = 0; i < endpoints->count; i++) {
		if (!address_is_unix(&endpoints->items[i]))
			return true;
	}
	return false;
}

bool
light_has_layer(const struct service *service, enum health_layer layer)
{
	switch (layer) {
	case HEALTH_NAME:
		return has_name(service);
	case HEALTH_BASTION:
		return service->bastion != NULL;
	case HEALTH_TLS:
		return !service->options.plain;
	case HEALTH_CONNECT:
	case HEALTH_REDIS:
	case HEALTH_LAYER_COUNT:
		break;
	}
	return layer < HEALTH_LAYER_COUNT;
}

static bool
is_down(const struct health_step *step)
{
	return step->failed.at_us > step->passed.at_us;
}

static uint64_t
newest(const struct health_step *step)
{
	return is_down(step) ? step->failed.at_us : step->passed.at_us;
}

/* Whether something above has failed since this layer was last seen. */
static bool
is_cut_off(const struct health_view *view, enum health_layer layer)
{
	for (size_t above = 0; above < layer; above++) {
		const struct health_step *step = &view->steps[above];
		if (is_down(step) && step->failed.at_us > newest(&view->steps[layer]))
			return true;
	}
	return false;
}

enum light
light_of_layer(const struct service *service, const struct health_view *view,
	       enum health_layer layer, uint64_t now_us, int64_t now_s)
{
	if (view == NULL || !light_has_layer(service, layer) || is_cut_off(view, layer))
		return LIGHT_UNKNOWN;
	const struct health_step *step = &view->steps[layer];
	if (newest(step) == 0)
		return LIGHT_UNKNOWN;
	if (is_down(step))
		return LIGHT_DOWN;
	if (layer == HEALTH_TLS && view->certificate_expires != 0 &&
	    view->certificate_expires - now_s < (int64_t)CERTIFICATE_DAYS * DAY_S)
		return LIGHT_SHAKY;
	if (step->failed.at_us != 0 && now_us - step->failed.at_us < (uint64_t)SHAKY_S * 1000000)
		return LIGHT_SHAKY;
	return LIGHT_UP;
}

enum light
light_of_service(const struct service *service, const struct health_view *view, uint64_t now_us,
		 int64_t now_s)
{
	enum light worst = LIGHT_UNKNOWN;

	for (size_t i = 0; i < HEALTH_LAYER_COUNT; i++) {
		enum light light = light_of_layer(service, view, (enum health_layer)i, now_us,
						  now_s);
		worst = light > worst ? light : worst;
	}
	return worst;
}
