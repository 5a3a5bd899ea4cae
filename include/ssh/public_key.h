#ifndef CACHETUNNEL_SSH_PUBLIC_KEY_H
#define CACHETUNNEL_SSH_PUBLIC_KEY_H

#include <stdbool.h>
#include <stddef.h>

/* Files with public keys, as ssh-keygen writes them beside the private ones: "TYPE BASE64 COMMENT".
 */

/* The key of the file, as it goes over the wire (RFC 4253, 6.6); NULL: there is no such file, or no
 * public key in it. Returns owned bytes. */
unsigned char *public_key_load(const char *path, size_t *ret_length);

#endif
