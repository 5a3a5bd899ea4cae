#ifndef CACHETUNNEL_BASE_ERR_H
#define CACHETUNNEL_BASE_ERR_H

#include "base/attributes.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * An error is a value: text for a person. The layer that fails says what failed, each layer
 * above may add "while doing what", and only tunnel, daemon and main log it, once.
 *
 * Messages are lower case, have no full stop, quote what came from outside in '…', and end with
 * what to do where that is known. The struct lives with whoever calls; nothing is allocated.
 */

enum { ERR_TEXT_SIZE = 512 };

/* What kind of failure it is, where somebody advises or counts by it; the text says the rest. */
enum err_kind {
	ERR_OTHER,
	ERR_TIMEOUT,      /* nobody answered in time */
	ERR_REFUSED,      /* the machine answers, and nobody listens there */
	ERR_UNREACHABLE,  /* there is no way from here */
	ERR_DISCONNECTED, /* the other side closed or reset in the middle of it */
	ERR_EXHAUSTED,    /* this machine has no descriptor or memory left for it */

	ERR_NAME_UNKNOWN, /* there is no such name */
	ERR_NAME_SERVER,  /* no name server gave a useful answer */
	ERR_NAME_STALE,   /* it still leads to a server that is the primary no longer */

	ERR_SSH_PROTOCOL, /* no SSH there, or no common algorithm */
	ERR_HOST_KEY,     /* unknown, changed or revoked */
	ERR_LOGIN,
	ERR_FORBIDDEN, /* the bastion does not allow the channel */

	ERR_TLS_NONE,                /* what answers does not speak TLS */
	ERR_TLS_VERSION,             /* none in common */
	ERR_TLS_HANDSHAKE,           /* anything else that the two sides do not agree on */
	ERR_CERTIFICATE_NAME,        /* it is somebody else's */
	ERR_CERTIFICATE_EXPIRED,     /* or not valid yet */
	ERR_CERTIFICATE_UNTRUSTED,   /* nobody whom we trust issued it */
	ERR_CERTIFICATE_REJECTED,    /* revoked, too weak, for another purpose */
	ERR_CERTIFICATE_OURS_NEEDED, /* the server wants one of us */
};

struct err {
	char text[ERR_TEXT_SIZE];
	enum err_kind kind;
};

/* Replaces the text; the kind is ERR_OTHER until err_mark() says more. Always returns false, so
 * that a failing function can end with it. `err` may be NULL where nobody wants the text.
 * Over-long text is cut. */
bool err_set(struct err *err, const char *format, ...) ATTR_PRINTF(2, 3);

/* As err_set(), followed by ": " and the text for `errno_value`, which also tells the kind. */
bool err_set_errno(struct err *err, int errno_value, const char *format, ...) ATTR_PRINTF(3, 4);

/* Puts "FORMAT: " in front of the text that is there; the kind stays. Always returns false. */
bool err_wrap(struct err *err, const char *format, ...) ATTR_PRINTF(2, 3);

/* Says what kind of failure the text tells of. Always returns false. */
bool err_mark(struct err *err, enum err_kind kind);

#endif
