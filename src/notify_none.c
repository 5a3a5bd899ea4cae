#include "notify.h"

#include "base/attributes.h"

void
notify_ready(const char *status ATTR_UNUSED)
{
}

void
notify_reloading(void)
{
}

void
notify_stopping(int timeout_s ATTR_UNUSED, const char *status ATTR_UNUSED)
{
}

void
notify_alive(void)
{
}

const char *
notify_description(void)
{
	return "built without libsystemd";
}
