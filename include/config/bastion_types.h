#ifndef CACHETUNNEL_CONFIG_BASTION_TYPES_H
#define CACHETUNNEL_CONFIG_BASTION_TYPES_H

#include "config/option.h"

/* Types of values that only a bastion has. They read; nothing is looked up or opened. */

extern const struct option_type option_type_host;          /* char *, owned; without brackets */
extern const struct option_type option_type_ssh_agent;     /* char *, owned; NULL: the usual one */
extern const struct option_type option_type_proxy_command; /* char *, owned; only %h %p %r %% */
extern const struct option_type option_type_fingerprints;  /* struct text_list; cumulative */

#endif
