#ifndef CACHETUNNEL_CONFIG_SSH_ALIAS_H
#define CACHETUNNEL_CONFIG_SSH_ALIAS_H

#include "config/bastion.h"
#include "config/report.h"

#include <stdbool.h>

/*
 * What OpenSSH's own configuration says of a host or an alias: the answer of `ssh -G NAME`,
 * translated into a bastion's options. So ~/.ssh/config is read by the program that defines it.
 * Private to this layer.
 *
 * Taken are HostName, Port, User, IdentityFile, ProxyJump, ProxyCommand, UserKnownHostsFile,
 * GlobalKnownHostsFile, HostKeyAlias, StrictHostKeyChecking, ConnectTimeout, ServerAliveInterval,
 * ServerAliveCountMax and IdentityAgent. The rest is about what a bastion does not do, or is
 * decided by us, such as ciphers.
 */

struct ssh_alias {
	char *jump; /* ProxyJump, "first,second"; owned, for free(); NULL: none */

	/* Whether the answer has anything that ssh would not say of just any name. */
	bool is_known;

	/* There is a ProxyCommand, and it cannot be used here: nobody is to go past it. */
	bool is_guarded;
};

/* Fills `options`, which hold their defaults, with what ssh says of `name`. `at` is the line that
 * asks, and becomes the place of what is found; ssh's own default files have none. What cannot be
 * translated is a warning in `report`; when there is no answer, `err` says why. */
bool ssh_alias_look_up(const char *name, struct location at, struct bastion_options *options,
		       struct ssh_alias *ret_alias, struct report *report,
		       struct err *err) ATTR_MUST_CHECK;

#endif
