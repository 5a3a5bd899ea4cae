#ifndef CACHETUNNEL_SSH_BASE64_H
#define CACHETUNNEL_SSH_BASE64_H

#include <stddef.h>

/* Base64 (RFC 4648, 4) as SSH's text files have it: padded, in one piece. */

/* Returns owned bytes, for free(); NULL unless the text is exactly what encoding them gives. Empty
 * text is none. */
unsigned char *base64_decode(const char *text, size_t length, size_t *ret_length);

/* Returns owned text, for free(); at most INT_MAX / 2 bytes. */
char *base64_encode(const unsigned char *bytes, size_t length);

#endif
