#include "notify.h"

#include "base/clock.h"

#include <systemd/sd-daemon.h>

void
notify_ready(const char *status)
{
	(void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

/* What the end itself may take. */
enum { STOP_S = 5 };

/* With Type=notify-reload, systemd wants to know that this is about its own request and not an
 * earlier one: hence the time. */
void
notify_reloading(void)
{
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_now_us());
}

/* TimeoutStopSec= may be shorter than TIMEOUTdrain. */
void
notify_stopping(int timeout_s, const char *status)
{
	(void)sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%d000000\nSTATUS=%s",
			 timeout_s + STOP_S, status);
}

void
notify_alive(void)
{
	(void)sd_notify(0, "WATCHDOG=1");
}

const char *
notify_description(void)
{
	return "libsystemd, compiled " CACHETUNNEL_SYSTEMD_VERSION;
}
