#ifndef CACHETUNNEL_SSH_NO_COMMON_H
#define CACHETUNNEL_SSH_NO_COMMON_H

#include "base/err.h"
#include "ssh/wire.h"

#include <libssh2.h>

/*
 * Why two sides found no algorithm in common: which kind it is, and what each of them has. libssh2
 * only says that it failed.
 */

struct bastion;

/* `greeting` is what the server sent first, and `version` its version, escaped. Fills `err`. */
void no_common_explain(const struct bastion *bastion, LIBSSH2_SESSION *ssh,
		       struct wire_span greeting, const char *version, struct err *err);

#endif
