#ifndef CACHETUNNEL_CONFIG_BASTION_H
#define CACHETUNNEL_CONFIG_BASTION_H

#include "config/location.h"
#include "config/option.h"
#include "config/options.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A bastion as configured: a section `[bastion NAME]`, or what a service wrote in one line
 * (`user@host:port`), or what `ssh -G ALIAS` said of an ssh alias. Part of the configuration, and
 * as immutable.
 *
 * To add an option: a field here, a row in src/config/bastion_options.c, an entry in
 * man/cachetunnel.conf.5 and conf/cachetunnel.conf, and the code that reads the field.
 */

enum host_key_check {
	HOST_KEY_CHECK_YES,        /* the key must be known */
	HOST_KEY_CHECK_ACCEPT_NEW, /* an unknown host's key is appended */
	HOST_KEY_CHECK_NO,         /* any key will do; warned about */
};

/* Files are paths ready to open: ~ and credentials are expanded. In the two lists of files an
 * item without a place (`at.file` is NULL) is a default: nobody asked for it, so that it is no
 * remark when there is no such file. */
struct bastion_options {
	char *host; /* a name or an address, without brackets */
	int port;
	char *user;          /* NULL: the user who runs us */
	char *via;           /* as written: name, alias or user@host:port; use struct bastion's */
	char *proxy_command; /* only %h, %p, %r and %% are in it; NULL: none */
	bool is_eager;       /* log in at start, not on first use */
	int sessions;        /* at most */

	struct text_list identity_file; /* in order; may be empty */
	char *passphrase_file;
	char *password_file;
	char *identity_agent;    /* socket; NULL: SSH_AUTH_SOCK; "none": no agent */
	bool is_identities_only; /* of the agent's keys, those of identity_file only */

	struct text_list known_hosts; /* files; accept-new appends to the first */
	struct text_list host_key;    /* pins: SHA256:… */
	int host_key_check;           /* enum host_key_check */
	char *host_key_alias;         /* name to look up in known_hosts; NULL: the host */

	int timeout_connect_s; /* TCP, for each address; these six are at least 1 */
	int timeout_banner_s;
	int timeout_key_exchange_s;
	int timeout_login_s;
	int timeout_open_s;    /* a channel */
	int timeout_surplus_s; /* a session without channels beside others */
	int timeout_dead_s;    /* of the TCP connection's silence; 0: as long as the system waits */
	int alive_interval_ms; /* 0: never */
	int alive_count;
	int window_bytes; /* of a channel: bounds its memory */

	struct debug_setting debug; /* the level only */
};

enum bastion_origin {
	BASTION_SECTION, /* [bastion NAME] */
	BASTION_INLINE,  /* user@host:port */
	BASTION_ALIAS,   /* what ssh's own configuration knows, and the hops that it names */
};

struct bastion {
	/* For messages, and unique within its origin: the section's NAME, the text as written, or
	 * the alias. A later hop of a ProxyJump has the whole way to it: "first,second". */
	char *name;
	enum bastion_origin origin;
	struct location at; /* its section's line, or the first line that refers to it */
	size_t index;       /* its place in the configuration */

	/* `host` is never NULL, unless the configuration has errors. */
	struct bastion_options options;

	/* The bastion to hop through first, of the same configuration; NULL: none. No loops. */
	const struct bastion *via;

	/* For each row of bastion_options_table, the line that set it last; file NULL: default. */
	struct location *set_at;
};

extern const struct option_table bastion_options_table;

/* The line that set the option, or the bastion's own when it has its default. `name` must be a
 * bastion option's. */
struct location bastion_option_at(const struct bastion *bastion, const char *name);

/* Whether the option was written in the bastion's section. */
bool bastion_option_is_set(const struct bastion *bastion, const char *name);

#endif
