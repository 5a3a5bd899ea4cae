#ifndef CACHETUNNEL_SSH_HOST_CHECK_H
#define CACHETUNNEL_SSH_HOST_CHECK_H

#include "base/err.h"
#include "base/log.h"

#include <libssh2.h>
#include <stdbool.h>

/*
 * Whether a bastion is the one that was meant: its host key against pins and known_hosts, strict
 * unless the bastion's options say otherwise. The files are read anew for each login, which is
 * rare, so that what a user adds counts at once.
 */

struct bastion;

/* Before the handshake: makes the server show a key of a type that is known for it. libssh2's
 * own order would ask for another type and then find it unknown. */
void host_check_prefer(const struct bastion *bastion, LIBSSH2_SESSION *ssh);

enum { HOST_CHECK_TEXT_SIZE = 512 };

/* After the handshake, before anything secret is sent. True with the key and why it is accepted,
 * for people ("ssh-ed25519 SHA256:… (known by FILE:LINE)"), in `ret_text` of HOST_CHECK_TEXT_SIZE
 * bytes; false with `err`, which tells both fingerprints and what to do. Under accept-new an
 * unknown key is appended. */
bool host_check(const struct bastion *bastion, LIBSSH2_SESSION *ssh, const struct log_scope *log,
		char *ret_text, struct err *err) ATTR_MUST_CHECK;

/* Says why the two sides found no algorithm in common; libssh2 only says that. `greeting` is the
 * server's first line. */
void host_check_explain_no_common(const struct bastion *bastion, const char *greeting,
				  struct err *err);

#endif
