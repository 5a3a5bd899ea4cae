#ifndef CACHETUNNEL_SSH_HOST_CHECK_H
#define CACHETUNNEL_SSH_HOST_CHECK_H

#include "base/err.h"
#include "base/log.h"
#include "ssh/wire.h"

#include <libssh2.h>
#include <stdbool.h>

/*
 * Whether a bastion is the one that was meant: its host key against pins and known_hosts, strict
 * unless the bastion's options say otherwise. The files are read anew for each login, which is
 * rare, so that what a user adds counts at once.
 */

struct bastion;

/* Before the handshake: makes the server show a key of a type that is known for it. libssh2's
 * own order would ask for another type and then find it unknown. Keys of `seen_types` (0: none)
 * are not asked for: they were looked at, and are not the pinned one. */
void host_check_prefer(const struct bastion *bastion, LIBSSH2_SESSION *ssh, unsigned seen_types);

enum { HOST_CHECK_TEXT_SIZE = 512 };

/* After the handshake, before anything secret is sent. True with the key and why it is accepted,
 * for people ("ssh-ed25519 SHA256:… (known by FILE:LINE)"), in `ret_text` of HOST_CHECK_TEXT_SIZE
 * bytes; false with `err`, which tells both fingerprints and what to do. Under accept-new an
 * unknown key is appended. */
bool host_check(const struct bastion *bastion, LIBSSH2_SESSION *ssh, const struct log_scope *log,
		char *ret_text, struct err *err) ATTR_MUST_CHECK;

/* After host_check() has refused a key: whether the server has keys of other types, of which one
 * may be pinned; a server shows one key at a time. `greeting` is what it sent first, and
 * `seen_types` the types (enum host_key_type) that were looked at so far; this one is added. */
bool host_check_has_more(const struct bastion *bastion, LIBSSH2_SESSION *ssh,
			 struct wire_span greeting, unsigned *seen_types);

/* For messages: the name that is looked up, the algorithms of the keys that are known for it (in
 * `out`, cut to `size`), and whether that is nothing but an RSA key. */
const char *host_check_name(const struct bastion *bastion);
char *host_check_list_known(const struct bastion *bastion, char *out, size_t size);
bool host_check_knows_rsa_only(const struct bastion *bastion);

#endif
