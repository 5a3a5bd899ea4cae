#include "notify.h"

#include "base/clock.h"

#include <systemd/sd-daemon.h>

void
notify_ready(const char *status)
{
	(void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

/* With Type=notify-reload, systemd wants to know that this is about its own request and not an
 * earlier one: hence the time. */
void
notify_reloading(void)
{
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_now_us());
}

void
notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}

const char *
notify_description(void)
{
	return "libsystemd, compiled " CACHETUNNEL_SYSTEMD_VERSION;
}
