#ifndef CACHETUNNEL_LOADER_H
#define CACHETUNNEL_LOADER_H

#include "config/report.h"
#include "tunnel/setup.h"

/*
 * Reads a configuration and all that it names: certificates, keys, ssh's own configuration. That
 * may take seconds, so that a reload has a thread for it and accepting goes on.
 */

struct inbox;
struct loader;
struct reach;

/* At start: does it here and now. `fd` (taken) is read instead of `path` unless it is -1. Returns
 * one owned reference; NULL with the errors in `report`. */
struct setup *loader_load(const char *path, int fd, struct report *report);

/* It is done: `setup` is one owned reference, or NULL, and `report`, owned too, says why. Called in
 * the inbox's thread. */
typedef void loader_done_cb(void *arg, struct setup *setup, struct report *report);

/* For a reload: begins to do it in a thread. `path` and `inbox` are borrowed while the handle
 * lives, and so is `granted`, what the sandbox was made for: a configuration that needs more is an
 * error (NULL: there is no sandbox). Of `previous`, the setup that is to be replaced, it takes a
 * reference. Returns a handle;
 * NULL: no memory. */
struct loader *loader_start(const char *path, struct setup *previous, const struct reach *granted,
			    struct inbox *inbox, loader_done_cb *on_done, void *arg);

/* Waits for the thread. Before on_done() has come only if nobody posts to the inbox any more; it
 * will not come then. NULL is fine. */
void loader_free(struct loader *loader);

#endif
