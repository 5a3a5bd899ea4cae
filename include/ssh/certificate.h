#ifndef CACHETUNNEL_SSH_CERTIFICATE_H
#define CACHETUNNEL_SSH_CERTIFICATE_H

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/err.h"
#include "ssh/key_kind.h"
#include "ssh/wire.h"

#include <stdbool.h>

/*
 * OpenSSH's user certificates (its PROTOCOL.certkeys), as far as a client cares: that one is for
 * our key, and for now. The signature is the server's business.
 */

/* Reads "KEY-cert.pub" and appends its blob to `out`. `public_fields`: what follows the
 * algorithm's name in the public key of `kind` that it must be for. */
bool certificate_load(const char *path, const struct key_kind *kind,
		      const struct wire_span *public_fields, struct buffer *out,
		      struct err *err) ATTR_MUST_CHECK;

#endif
