#ifndef CACHETUNNEL_CONTROL_PAGE_H
#define CACHETUNNEL_CONTROL_PAGE_H

#include "base/attributes.h"

#include <stdbool.h>

/* The page for people: src/control/page.html, which is part of the program. It asks for /status and
 * nothing else. */

struct evbuffer;

/* Appends the page, without copying it. False: no memory. */
bool page_write(struct evbuffer *out);

enum { PAGE_POLICY_SIZE = 512 };

/* Writes its Content-Security-Policy: the style and the script that are in it may run, by their
 * hashes, and nothing that somebody's name could smuggle in. False where OpenSSL cannot hash. */
bool page_write_policy(char out[PAGE_POLICY_SIZE]) ATTR_MUST_CHECK;

#endif
