#ifndef CACHETUNNEL_CONFIG_USER_PATH_H
#define CACHETUNNEL_CONFIG_USER_PATH_H

#include "config/option.h"

/*
 * Paths as people write them about SSH: `~/…` and `~USER/…` for a home directory, and for a
 * credential that systemd hands over `%d/…` or `${CREDENTIALS_DIRECTORY}/…`. They are expanded
 * when the configuration is read, so as the user who starts the daemon; nothing is opened.
 */

/* The path to open for `text`: owned, for free(). NULL with `err` when there is no such user or
 * no credential directory. Text that begins with none of the above is copied as it is. */
char *user_path_expand(const char *text, struct err *err) ATTR_MUST_CHECK;

/* The home directory of the user who runs us: $HOME, else the system's word. Borrowed, until
 * the next call that asks for a user; NULL: unknown. Not for threads. */
const char *user_path_home(void);

extern const struct option_type option_type_user_path;  /* char *, owned; expanded */
extern const struct option_type option_type_user_paths; /* struct text_list; cumulative */

#endif
