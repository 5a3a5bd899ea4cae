#ifndef CACHETUNNEL_BASE_IDENTITY_H
#define CACHETUNNEL_BASE_IDENTITY_H

#include "base/attributes.h"

#include <stdbool.h>
#include <sys/types.h>

/* Users and groups by name or number, as `setuid` and `setgid` write them. May block (the name
 * service), and is not for threads: used at start only. */

bool identity_find_user(const char *name, uid_t *ret_user) ATTR_MUST_CHECK;
bool identity_find_group(const char *name, gid_t *ret_group) ATTR_MUST_CHECK;

/* The group that the user's logins have; the user's own number where there is no such user. */
gid_t identity_group_of(uid_t user);

#endif
