#ifndef CACHETUNNEL_CONFIG_TLS_OPTIONS_H
#define CACHETUNNEL_CONFIG_TLS_OPTIONS_H

#include "config/option.h"

/*
 * What the configuration can name of TLS: OpenSSL's SSL_OP_ bits and the protocol versions.
 * Names only; the TLS context applies them.
 */

/* `options` = [-]NAME, as in OpenSSL without SSL_OP_: struct tls_options. Cumulative; a later
 * line wins over an earlier one for the same bits. */
extern const struct option_type option_type_tls_options;

/* For option_type_choice; values as enum tls_version_choice has them. */
extern const struct option_choice tls_version_choices[];

/* The name of a version for messages; static. */
const char *tls_version_name(int version);

#endif
