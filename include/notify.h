#ifndef CACHETUNNEL_NOTIFY_H
#define CACHETUNNEL_NOTIFY_H

/* Tells the service manager how we are (sd_notify(3)), where we are built with libsystemd and
 * run under systemd. Otherwise nobody is told, and nothing else changes. */

/* At start, and after a reload. `status` is for people. */
void notify_ready(const char *status);
void notify_reloading(void);

/* It may take so long; `status` is for people. */
void notify_stopping(int timeout_s, const char *status);

/* The watchdog need not bark. */
void notify_alive(void);

/* The library that does it, for --version; a static text. */
const char *notify_description(void);

#endif
