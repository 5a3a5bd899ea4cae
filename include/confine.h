#ifndef CACHETUNNEL_CONFINE_H
#define CACHETUNNEL_CONFINE_H

#include "base/err.h"
#include "config/options.h"
#include "reach.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Locks the process in: from here on neither it nor whoever takes it over can do what the daemon
 * does not need. Once, in the only thread there is, because threads inherit it; there is no way
 * back. The Makefile chooses confine_linux.c, or confine_none.c where there is nothing of the kind
 * (and for sanitizers, which read and write more than the daemon does).
 */

enum { CONFINE_TEXT_SIZE = 256 };

struct confinement {
	/* What is in force, for log and status: "no new privileges, Landlock (files, …), …". */
	char text[CONFINE_TEXT_SIZE];
	/* What could have been and is not, and why; empty: nothing. */
	char missing[CONFINE_TEXT_SIZE];
	bool holds_reach; /* a reload has to stay within the reach that it was started with */
};

/* Confines the process to `reach` (borrowed), as `sandbox` says (enum sandbox). With `require`,
 * false with `err` where a part of it cannot be had; otherwise what cannot be had is in `missing`. */
bool confine_start(int sandbox, const struct reach *reach, struct confinement *ret_confinement,
		   struct err *err) ATTR_MUST_CHECK;

#endif
