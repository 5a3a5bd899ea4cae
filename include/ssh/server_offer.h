#ifndef CACHETUNNEL_SSH_SERVER_OFFER_H
#define CACHETUNNEL_SSH_SERVER_OFFER_H

#include "ssh/wire.h"

/*
 * What a server says of itself: its version, and the algorithms in its first message
 * (SSH_MSG_KEXINIT, RFC 4253, 7.1), which come in the clear. libssh2 keeps them to itself, and
 * without them nobody can say why a key exchange failed, or which other host keys a server has.
 */

/* Finds the server's version in the same bytes, a line that begins with "SSH-" and may not be all
 * there yet; its end is left out. False: there is none so far, and the span has the first line that
 * came instead, empty if nothing did. The span borrows them. */
bool server_offer_find_version(const void *bytes, size_t length,
			       struct wire_span *ret) ATTR_MUST_CHECK;

enum server_offer_list { /* in the order of the message */
			 SERVER_OFFER_KEY_EXCHANGE,
			 SERVER_OFFER_HOST_KEY,
			 SERVER_OFFER_CIPHER, /* from client to server, as the next */
			 SERVER_OFFER_CIPHER_BACK,
			 SERVER_OFFER_MAC,
};

/* Finds a list of names with commas in between, in what the server sent from the beginning on:
 * lines, its version, the message. False: the bytes are something else, or not all there yet. The
 * span borrows them. */
bool server_offer_find(const void *bytes, size_t length, enum server_offer_list which,
		       struct wire_span *ret) ATTR_MUST_CHECK;

/* Whether the name is in the list. */
bool server_offer_has(struct wire_span list, const char *name);

#endif
