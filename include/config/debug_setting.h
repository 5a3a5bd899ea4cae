#ifndef CACHETUNNEL_CONFIG_DEBUG_SETTING_H
#define CACHETUNNEL_CONFIG_DEBUG_SETTING_H

#include "config/option.h"

/*
 * The types of `debug`: a syslog level by name or number, with a facility in front of it where
 * it speaks for the whole daemon. Both fill a struct debug_setting.
 */

extern const struct option_type option_type_debug;       /* [facility.]level */
extern const struct option_type option_type_debug_level; /* level only */

#endif
