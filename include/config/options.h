#ifndef CACHETUNNEL_CONFIG_OPTIONS_H
#define CACHETUNNEL_CONFIG_OPTIONS_H

#include "config/address.h"
#include "config/option.h"
#include "config/socket_access.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Our rows, and the structs that they fill. Two tables here (a third, of bastion options, is in
 * config/bastion.h): global options, legal before the first section only, and service options,
 * legal in a section and, as defaults for all of them, before the first. Where both tables have
 * a name (debug, setuid, setgid, maxClients), it is the global one before the first section and
 * the service's inside.
 *
 * To add an option: a field in the struct here, a row in src/config/options.c, an entry in
 * man/cachetunnel.conf.5 and conf/cachetunnel.conf (`make lint` insists), and the code that
 * reads the field.
 */

enum foreground {
	FOREGROUND_NO,    /* become a daemon */
	FOREGROUND_YES,   /* stay, and log to stderr too */
	FOREGROUND_QUIET, /* stay, and do not log to stderr */
};

enum sandbox {
	SANDBOX_NO,
	SANDBOX_YES,     /* as much as kernel and build allow */
	SANDBOX_REQUIRE, /* all of it, or no start */
};

enum log_id_kind {
	LOG_ID_SEQUENTIAL,
	LOG_ID_UNIQUE, /* 22 random characters */
	LOG_ID_THREAD,
	LOG_ID_PROCESS,
};

enum log_format {
	LOG_FORMAT_TEXT, /* as stunnel's */
	LOG_FORMAT_JSON,
};

/* What is not logged; a set. */
enum quiet {
	QUIET_NOTHING = 0,
	QUIET_CONNECTIONS = 1 << 0, /* that come and go as they should */
	QUIET_PROBES = 1 << 1,      /* connections without a byte, at debug level too */
};

enum failover {
	FAILOVER_PRIO,  /* the first endpoint that works, from the top each time */
	FAILOVER_RR,    /* each connection starts with the next endpoint */
	FAILOVER_LEAST, /* the one with the fewest tunnels */
};

/* `debug`: a syslog facility may stand before the level, globally. */
struct debug_setting {
	bool is_set;
	int facility; /* as syslog.h's LOG_DAEMON; -1: none was written */
	int level;    /* 0 emergency … 7 debug */
};

struct global_options {
	struct text_list include; /* folders whose files were read in place of the line */
	int foreground;           /* enum foreground */
	struct debug_setting debug;
	char *output;
	bool log_overwrite; /* `log = overwrite`: empty the file when it is opened */
	int log_format;     /* enum log_format */
	int log_repeat_s;   /* the same failure is counted for so long; 0: each is written */
	bool use_syslog;
	char *syslog_ident; /* `service` */
	char *pid;
	char *setuid; /* a user's name or number */
	char *setgid;
	char *chroot;
	int sandbox;         /* enum sandbox */
	int workers;         /* threads; 0: the number of processors, at most 4 */
	int timeout_drain_s; /* 0: do not wait */
	int max_clients;     /* of all services together; 0: as many as descriptors allow */
	char *resolver;  /* name servers, "ADDRESS[:PORT],…"; NULL: those of /etc/resolv.conf */
	int dns_cache_s; /* how long an answer is used at most */
	char *control;   /* the control socket's path, or "auto" or "no" */
	struct address_list status_listen;
};

enum tls_version_choice {
	TLS_VERSION_UNSET = 0,
	TLS_VERSION_ALL = -1, /* everything from TLS 1.2 on */
			      /* else OpenSSL's TLS1_2_VERSION and so on */
};

/* `options`: bits of SSL_OP_*. */
struct tls_options {
	uint64_t set;
	uint64_t clear;
};

enum socket_side {
	SOCKET_SIDE_ACCEPT, /* a: the listening socket */
	SOCKET_SIDE_LOCAL,  /* l: the client's accepted socket */
	SOCKET_SIDE_REMOTE, /* r: the socket to the endpoint */
};

/* `socket = a|l|r:NAME=VALUE`: ready for setsockopt(). */
struct socket_option {
	enum socket_side side;
	const char *name; /* static, for messages */
	int level;
	int option;
	unsigned char value[32]; /* an int, a struct linger, a struct timeval or a text */
	size_t size;             /* of the value, bytes */
	struct location at;
};
struct socket_option_list {
	struct socket_option *items; /* owned */
	size_t count;
};

enum role {
	ROLE_GUESS, /* by ElastiCache's names; none is left once the configuration is read */
	ROLE_PRIMARY,
	ROLE_REPLICA,
	ROLE_ANY,
};

enum errors_choice {
	ERRORS_RESP,  /* tell the client in its own protocol why it gets no server */
	ERRORS_CLOSE, /* only close */
};

struct service_options {
	bool client;
	bool plain; /* forward without TLS */
	struct address_list accept;
	struct address_list connect;
	int failover;    /* enum failover */
	int role;        /* enum role */
	int dns_watch_s; /* look where a primary's name leads at least so often; 0: never */
	int errors;      /* enum errors_choice */
	char *fallback;  /* another service's name, whose endpoints stand in; NULL: none */
	char *bastion;   /* as written; struct service has what it means; NULL: none */
	char *local;     /* numeric source address or a name for one; NULL: the system's choice */
	int max_clients; /* 0: no limit of its own */
	int warm;        /* connections to keep ready, in each worker */

	bool verify_chain;
	bool verify_peer;
	int verify; /* the old 0–4; -1: unset. config.c folds it into the two above */
	struct text_list check_host;
	struct text_list check_ip;
	struct text_list check_email;
	char *sni; /* NULL: the host of `connect`; empty: send none */
	char *ca_file;
	char *ca_path;
	char *ca_store;
	char *crl_file;
	char *crl_path;
	char *cert;
	char *key;

	/* enum tls_version_choice, or OpenSSL's number. What ssl_version says is in min and max
	 * too, once the configuration is read. */
	int ssl_version;
	int ssl_version_min;
	int ssl_version_max;
	char *ciphers;
	char *ciphersuites;
	char *curves;
	int security_level; /* -1: unset */
	struct tls_options options;
	struct text_list ssl_config; /* `config` = CMD[:ARG] */
	bool renegotiation;
	bool session_resume;
	int session_cache_size; /* sessions per worker and service */
	int session_cache_timeout_s;

	int timeout_connect_s; /* per address */
	int timeout_busy_s;    /* handshake */
	int timeout_idle_s;    /* 0: never */
	int timeout_close_s;   /* 0: do not wait */
	int timeout_dead_s;    /* of a server's silence; 0: as long as the system waits */
	int timeout_hold_s;    /* for a client whose endpoint is being looked for; 0: no time */
	int timeout_move_s;    /* for outstanding replies of a primary that is one no more */
	bool reset;
	struct socket_option_list socket;

	struct debug_setting debug; /* the level only */
	int log_id;                 /* enum log_id_kind */
	int quiet;                  /* a set of enum quiet */
	char *setuid;               /* owner and group of a unix `accept` */
	char *setgid;
	int socket_mode;             /* of a unix `accept`; -1: what the umask leaves */
	struct user_list allow_user; /* who may connect to a unix `accept`; empty: anybody */
};

extern const struct option_table global_options_table;
extern const struct option_table service_options_table;

#endif
