#include "base/identity.h"

#include "base/text.h"

#include <grp.h>
#include <limits.h>
#include <pwd.h>

bool
identity_find_user(const char *name, uid_t *ret_user)
{
	long number;
	const struct passwd *user;

	if (text_to_long(name, 0, INT_MAX, &number)) {
		*ret_user = (uid_t)number;
		return true;
	}
	user = getpwnam(name);
	if (user == NULL)
		return false;
	*ret_user = user->pw_uid;
	return true;
}

bool
identity_find_group(const char *name, gid_t *ret_group)
{
	long number;
	const struct group *group;

	if (text_to_long(name, 0, INT_MAX, &number)) {
		*ret_group = (gid_t)number;
		return true;
	}
	group = getgrnam(name);
	if (group == NULL)
		return false;
	*ret_group = group->gr_gid;
	return true;
}

gid_t
identity_group_of(uid_t user)
{
	const struct passwd *entry = getpwuid(user);

	return entry != NULL ? entry->pw_gid : (gid_t)user;
}
