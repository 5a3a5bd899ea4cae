#ifndef CACHETUNNEL_BASE_LOG_H
#define CACHETUNNEL_BASE_LOG_H

#include "base/attributes.h"
#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The logger, the program's only global. Lines look like stunnel's, because scripts search for
 * them: "2026.05.26 19:05:04 LOG5[12]: text" to stderr and file, "LOG5[12]: text" to syslog.
 *
 * Nobody who serves a client may wait for a disk, a terminal or a log reader. So once started,
 * log_write() only queues, and a thread of the logger's own writes; when the queue is full,
 * lines are dropped and counted, and the count is logged when there is room again.
 *
 * Whole lines are escaped here: nothing from outside can forge a line.
 */

enum log_level { /* syslog's numbers */
		 LOG_LEVEL_EMERGENCY,
		 LOG_LEVEL_ALERT,
		 LOG_LEVEL_CRITICAL,
		 LOG_LEVEL_ERROR,
		 LOG_LEVEL_WARNING,
		 LOG_LEVEL_NOTICE,
		 LOG_LEVEL_INFO,
		 LOG_LEVEL_DEBUG,
};

enum { LOG_ID_SIZE = 24, LOG_TEXT_SIZE = 1024, LOG_SERVICE_SIZE = 64 };

/* Who speaks: the id in brackets, and the least urgent level that is shown. A tunnel has its
 * own; everything else uses log_main. */
struct log_scope {
	atomic_int level; /* enum log_level; a reload changes that of log_main */
	char id[LOG_ID_SIZE];
	const char *service; /* whose lines these are, borrowed; NULL: no service's */
};

extern struct log_scope log_main; /* its id is written before log_start() only */

static inline enum log_level
log_level_of(const struct log_scope *scope)
{
	return (enum log_level)atomic_load_explicit(&scope->level, memory_order_relaxed);
}

static inline void
log_set_level(struct log_scope *scope, enum log_level level)
{
	atomic_store_explicit(&scope->level, (int)level, memory_order_relaxed);
}

static inline bool
log_is_on(const struct log_scope *scope, enum log_level level)
{
	return level <= log_level_of(scope);
}

/* Any thread. Formats nothing when the level is off. */
void log_write(const struct log_scope *scope, enum log_level level, const char *format, ...)
	ATTR_PRINTF(3, 4);

/* What a line tells in its text as well, for programs that read it as JSON. What is NULL or zero is
 * not known. All borrowed for the call. */
struct log_facts {
	const char *service; /* NULL: the scope's */
	const char *peer;
	const char *endpoint;
	const char *server; /* the address that was reached */
	const char *security;
	bool has_bytes;
	uint64_t bytes_to_server;
	uint64_t bytes_to_client;
	uint64_t connect_us;
	uint64_t open_us;
};

void log_write_facts(const struct log_scope *scope, enum log_level level,
		     const struct log_facts *facts, const char *format, ...) ATTR_PRINTF(4, 5);

/* For failures that may come in storms. `gist` (borrowed) is the line without what differs from one
 * time to the next (a client's address, say): where it was written not long ago, this
 * one is only counted, and "GIST (and 41 more times in 60 s)" is written in its time. At debug
 * level every line is written. */
void log_write_repeatable(const struct log_scope *scope, enum log_level level,
			  const struct log_facts *facts, const char *gist, const char *format, ...)
	ATTR_PRINTF(5, 6);

/*
 * Where lines go. Before log_start() they are written at once, to stderr in stunnel's start-up
 * form ("[!] text") and to syslog where it is already open.
 */

/* Hands each line (its text, without an end) to `on_line` instead, for a command that shows things in
 * its own way; NULL: no more. Never together with log_start(). */
typedef void log_line_cb(void *arg, enum log_level level, const char *text);
void log_divert(log_line_cb *on_line, void *arg);

/* Opens syslog, or opens it anew. `facility` is syslog.h's. */
void log_open_syslog(const char *ident, int facility);
void log_close_syslog(void);

/* From now on each line is a JSON object (log_json.h), also in syslog. */
void log_use_json(bool is_json);

/* For how long a repeatable line is counted rather than written again; 0: never. At first 0. */
void log_set_repeat_window(int seconds);

/* Opens `path` for appending, or emptied first, in place of the file before. On failure that one
 * stays. The calls for files are the main thread's. */
bool log_open_file(const char *path, bool overwrite, struct err *err) ATTR_MUST_CHECK;
void log_close_file(void);

/* Has the writer thread open the file once more by its path, after somebody has moved it away; it
 * says so if that fails. False: there is no file. */
bool log_reopen_file(void);

/* Starts the writer thread. From here on stderr gets full lines if `to_stderr`, else nothing. */
bool log_start(bool to_stderr, struct err *err) ATTR_MUST_CHECK;

/* Writes what is queued, for a second at most, and ends the thread. Harmless if not started. */
void log_stop(void);

#endif
