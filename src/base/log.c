#include "base/log.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/list.h"
#include "base/log_file.h"
#include "base/log_line.h"
#include "base/log_repeats.h"
#include "base/text.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum {
	QUEUE_LIMIT = 8192, /* lines; some megabytes at worst */
	STOP_WAIT_S = 1,
};

struct log_scope log_main = {.level = LOG_LEVEL_NOTICE, .id = "ui"};

enum { FILE_STAYS = -2 };

static struct {
	log_line_cb *on_line; /* instead of all that follows; NULL: nobody */
	void *on_line_arg;
	atomic_bool is_json;
	bool to_stderr; /* written before there is a writer's thread, and read there */
	atomic_bool to_syslog;
	char *ident;          /* owned; syslog borrows it */
	struct log_file file; /* the writer thread's once it runs */

	atomic_bool is_started; /* workers run before */
	pthread_t thread;
	pthread_mutex_t mutex; /* guards all below */
	pthread_cond_t changed;
	clockid_t clock; /* of waits for it; before log_start() nobody waits */
	struct log_repeats repeats;
	struct list queue;
	unsigned queued;
	unsigned long dropped;
	int next_file; /* to write to from now on; -1: none; FILE_STAYS */
	char *path;    /* owned; of the file; NULL: none */
	bool is_overwriting;
	bool must_reopen;
	bool is_stopping;
	bool is_finished;
} logger = {
	.file = {.fd = -1},
	.next_file = FILE_STAYS,
	.mutex = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
	.queue = {&logger.queue, &logger.queue},
};

static bool
is_to_syslog(void)
{
	return atomic_load_explicit(&logger.to_syslog, memory_order_relaxed);
}

static bool
is_started(void)
{
	return atomic_load_explicit(&logger.is_started, memory_order_acquire);
}

static struct log_line *
make_line(const struct log_saying *said)
{
	return log_line_new(said, atomic_load_explicit(&logger.is_json, memory_order_relaxed));
}

static void
write_line(const struct log_line *line)
{
	char text[LOG_LINE_SIZE];

	if (is_to_syslog())
		syslog((int)line->level, "%s", line->text);
	if (!logger.to_stderr && logger.file.fd < 0)
		return;
	size_t length = log_line_format(line, text, sizeof text);
	if (logger.to_stderr)
		(void)log_file_write_all(STDERR_FILENO, text, length);
	log_file_write(&logger.file, text, length);
}

/* stunnel marks a line's urgency by one character while there is no log yet. */
static void
write_startup_line(enum log_level level, const char *text)
{
	static const char marks[] = {'*', '*', '*', '!', ':', '.', ' ', ' '};

	(void)fprintf(stderr, "[%c] %s\n", marks[level], text);
}

/* Takes the line; NULL counts as lost. With the mutex. */
static void
enqueue(struct log_line *line)
{
	if (line == NULL || logger.queued >= QUEUE_LIMIT) {
		logger.dropped++;
		free(line);
		return;
	}
	list_append(&logger.queue, &line->link);
	if (logger.queued++ == 0)
		(void)pthread_cond_signal(&logger.changed);
}

/* With the mutex. */
static void
tell_repeat(const struct log_repeat *repeat)
{
	char text[LOG_TEXT_SIZE + 64];
	const struct log_facts facts = {.service = repeat->service};
	uint64_t span_us = clock_now_us() - repeat->first_us;

	(void)snprintf(text, sizeof text, "%s (and %lu more times in %llu s)", repeat->text,
		       repeat->more, (unsigned long long)((span_us + 999999) / 1000000));
	enqueue(make_line(&(struct log_saying){
		.id = repeat->id,
		.level = repeat->level,
		.text = text,
		.facts = &facts,
		.repeated = repeat->more,
	}));
}

/* Those whose time is over; at the end, all. With the mutex. */
static void
tell_repeats(bool is_everything)
{
	struct log_repeat repeat;

	while (log_repeats_take(&logger.repeats, clock_now_us(), is_everything, &repeat))
		tell_repeat(&repeat);
}

/* So many seconds from now, for waits. */
static struct timespec
deadline_after(time_t seconds)
{
	struct timespec deadline;

	(void)clock_gettime(logger.clock, &deadline);
	deadline.tv_sec += seconds;
	return deadline;
}

/* Waits for something to do, or until the count of a repeated line is due. With the mutex. */
static void
wait_for_change(void)
{
	uint64_t next_us = log_repeats_next_us(&logger.repeats);

	if (next_us == UINT64_MAX) {
		(void)pthread_cond_wait(&logger.changed, &logger.mutex);
		return;
	}
	uint64_t now_us = clock_now_us();
	uint64_t left_us = next_us > now_us ? next_us - now_us : 0;
	const struct timespec deadline = deadline_after((time_t)(left_us / 1000000) + 1);
	(void)pthread_cond_timedwait(&logger.changed, &logger.mutex, &deadline);
}

/* What there is to do for the writer. */
struct log_work {
	struct list lines;
	unsigned long dropped;
	int next_file;     /* after the lines; FILE_STAYS */
	char *reopen_path; /* owned; NULL: need not be reopened */
	bool is_overwriting;
};

static bool
is_work_waiting(void)
{
	return !list_is_empty(&logger.queue) || logger.next_file != FILE_STAYS ||
	       logger.must_reopen;
}

/* Takes everything there is to do; waits while there is nothing. False at the end. */
static bool
take_work(struct log_work *ret_work)
{
	*ret_work = (struct log_work){0};
	list_init(&ret_work->lines);
	(void)pthread_mutex_lock(&logger.mutex);
	for (;;) {
		tell_repeats(logger.is_stopping);
		if (is_work_waiting() || logger.is_stopping)
			break;
		wait_for_change();
	}
	bool has_work = is_work_waiting();
	while (!list_is_empty(&logger.queue)) {
		struct list *link = logger.queue.next;
		list_remove(link);
		list_append(&ret_work->lines, link);
	}
	ret_work->dropped = logger.dropped;
	ret_work->next_file = logger.next_file;
	if (logger.must_reopen && logger.path != NULL)
		ret_work->reopen_path = strdup(logger.path);
	ret_work->is_overwriting = logger.is_overwriting;
	logger.queued = 0;
	logger.dropped = 0;
	logger.next_file = FILE_STAYS;
	logger.must_reopen = false;
	(void)pthread_mutex_unlock(&logger.mutex);
	return has_work;
}

static void write_own_line(enum log_level level, const char *format, ...) ATTR_PRINTF(2, 3);

/* A line about the log itself. */
static void
write_own_line(enum log_level level, const char *format, ...)
{
	char raw[LOG_TEXT_SIZE];
	char text[LOG_TEXT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(raw, sizeof raw, format, arguments);
	va_end(arguments);
	struct log_line *line = make_line(&(struct log_saying){
		.id = "log", .level = level, .text = text_escape(text, sizeof text, raw)});
	if (line != NULL)
		write_line(line);
	free(line);
}

/* The disk was full: says how much is missing once there is room again. */
static void
tell_unwritten(void)
{
	unsigned long count = log_file_take_unwritten(&logger.file);

	if (count == 0)
		return;
	write_own_line(LOG_LEVEL_WARNING, "%lu line(s) lost: the file could not be written", count);
	if (logger.file.unwritten > 0)
		logger.file.unwritten = count;
}

static void
reopen(const char *path, bool overwrite)
{
	struct err err;

	if (!log_file_reopen(&logger.file, path, overwrite, &err))
		write_own_line(LOG_LEVEL_ERROR, "%s; it goes on in the old one", err.text);
}

static void *
run_writer(void *unused ATTR_UNUSED)
{
	struct log_work work;

	while (take_work(&work)) {
		while (!list_is_empty(&work.lines)) {
			struct log_line *line = LIST_ITEM(work.lines.next, struct log_line, link);
			tell_unwritten();
			write_line(line);
			list_remove(&line->link);
			free(line);
		}
		if (work.dropped > 0)
			write_own_line(LOG_LEVEL_WARNING,
				       "%lu line(s) lost: the log is read too slowly",
				       work.dropped);
		if (work.next_file != FILE_STAYS)
			log_file_switch(&logger.file, work.next_file);
		if (work.reopen_path != NULL)
			reopen(work.reopen_path, work.is_overwriting);
		free(work.reopen_path);
	}

	(void)pthread_mutex_lock(&logger.mutex);
	logger.is_finished = true;
	(void)pthread_cond_broadcast(&logger.changed);
	(void)pthread_mutex_unlock(&logger.mutex);
	return NULL;
}

/* Whether the line is new; else it is counted. Lines at debug level are for reading one by one.
 * With the mutex. */
static bool
is_news(const struct log_scope *scope, enum log_level level, const struct log_facts *facts,
	const char *gist)
{
	struct log_repeat said = {.level = level};
	struct log_repeat told;

	if (log_is_on(scope, LOG_LEVEL_DEBUG))
		return true;
	(void)snprintf(said.id, sizeof said.id, "%s", scope->id);
	(void)snprintf(said.service, sizeof said.service, "%s",
		       facts->service != NULL ? facts->service : "");
	(void)text_escape(said.text, sizeof said.text, gist);
	bool is_new = log_repeats_note(&logger.repeats, &said, clock_now_us(), &told);
	if (told.more > 0)
		tell_repeat(&told);
	return is_new;
}

static void
say(const struct log_scope *scope, enum log_level level, const struct log_facts *facts,
    const char *gist, const char *text)
{
	struct log_facts known = facts != NULL ? *facts : (struct log_facts){0};

	if (known.service == NULL)
		known.service = scope->service;
	const struct log_saying said = {scope->id, level, text, &known, 0};
	if (is_started()) {
		/* Others need not wait while a line is made, unless it may not be needed. */
		struct log_line *line = gist == NULL ? make_line(&said) : NULL;
		(void)pthread_mutex_lock(&logger.mutex);
		if (gist == NULL)
			enqueue(line);
		else if (is_news(scope, level, &known, gist))
			enqueue(make_line(&said));
		(void)pthread_mutex_unlock(&logger.mutex);
		return;
	}
	write_startup_line(level, text);
	if (is_to_syslog()) {
		struct log_line *line = make_line(&said);
		if (line != NULL)
			syslog((int)level, "%s", line->text);
		free(line);
	}
}

static void ATTR_PRINTF(5, 0) say_formatted(const struct log_scope *scope, enum log_level level,
					    const struct log_facts *facts, const char *gist,
					    const char *format, va_list arguments)
{
	char raw[LOG_TEXT_SIZE];
	char text[LOG_TEXT_SIZE];

	(void)vsnprintf(raw, sizeof raw, format, arguments);
	(void)text_escape(text, sizeof text, raw);
	if (logger.on_line != NULL)
		logger.on_line(logger.on_line_arg, level, text);
	else
		say(scope, level, facts, gist, text);
}

void
log_write(const struct log_scope *scope, enum log_level level, const char *format, ...)
{
	va_list arguments;

	if (!log_is_on(scope, level))
		return;
	va_start(arguments, format);
	say_formatted(scope, level, NULL, NULL, format, arguments);
	va_end(arguments);
}

void
log_write_facts(const struct log_scope *scope, enum log_level level, const struct log_facts *facts,
		const char *format, ...)
{
	va_list arguments;

	if (!log_is_on(scope, level))
		return;
	va_start(arguments, format);
	say_formatted(scope, level, facts, NULL, format, arguments);
	va_end(arguments);
}

void
log_write_repeatable(const struct log_scope *scope, enum log_level level,
		     const struct log_facts *facts, const char *gist, const char *format, ...)
{
	va_list arguments;

	if (!log_is_on(scope, level))
		return;
	va_start(arguments, format);
	say_formatted(scope, level, facts, gist, format, arguments);
	va_end(arguments);
}

void
log_set_repeat_window(int seconds)
{
	(void)pthread_mutex_lock(&logger.mutex);
	logger.repeats.window_us = (uint64_t)seconds * 1000000;
	(void)pthread_cond_broadcast(&logger.changed);
	(void)pthread_mutex_unlock(&logger.mutex);
}

void
log_use_json(bool is_json)
{
	atomic_store_explicit(&logger.is_json, is_json, memory_order_relaxed);
}

void
log_divert(log_line_cb *on_line, void *arg)
{
	logger.on_line = on_line;
	logger.on_line_arg = arg;
}

void
log_open_syslog(const char *ident, int facility)
{
	char *before = logger.ident;

	logger.ident = strdup(ident);
	openlog(logger.ident, LOG_NDELAY | LOG_PID, facility);
	free(before); /* openlog() waits for whoever writes by it */
	atomic_store_explicit(&logger.to_syslog, true, memory_order_relaxed);
}

void
log_close_syslog(void)
{
	atomic_store_explicit(&logger.to_syslog, false, memory_order_relaxed);
}

/* Takes `file`, which is opened by `path`. */
static void
use_file(int file, const char *path, bool overwrite)
{
	(void)pthread_mutex_lock(&logger.mutex);
	free(logger.path);
	logger.path = path != NULL ? strdup(path) : NULL;
	logger.is_overwriting = overwrite;
	if (!is_started()) {
		log_file_switch(&logger.file, file);
	} else {
		if (logger.next_file >= 0)
			(void)close(logger.next_file);
		logger.next_file = file;
		(void)pthread_cond_signal(&logger.changed);
	}
	(void)pthread_mutex_unlock(&logger.mutex);
}

bool
log_open_file(const char *path, bool overwrite, struct err *err)
{
	int file = log_file_open(path, overwrite, err);

	if (file < 0)
		return false;
	use_file(file, path, overwrite);
	return true;
}

void
log_close_file(void)
{
	use_file(-1, NULL, false);
}

bool
log_reopen_file(void)
{
	bool has_file;

	(void)pthread_mutex_lock(&logger.mutex);
	has_file = logger.path != NULL;
	logger.must_reopen = has_file;
	(void)pthread_cond_signal(&logger.changed);
	(void)pthread_mutex_unlock(&logger.mutex);
	return has_file;
}

bool
log_start(bool to_stderr, struct err *err)
{
	sigset_t all;
	sigset_t before;

	(void)fflush(stderr);
	logger.to_stderr = to_stderr;
	/* Until here it was there to be signalled only. */
	(void)pthread_cond_destroy(&logger.changed);
	logger.clock = compat_condition_init(&logger.changed);
	/* Signals are the main thread's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int failure = pthread_create(&logger.thread, NULL, run_writer, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failure != 0)
		return err_set_errno(err, failure, "cannot start the log's thread");
	atomic_store_explicit(&logger.is_started, true, memory_order_release);
	return true;
}

void
log_stop(void)
{
	bool is_finished;

	if (!is_started())
		return;

	const struct timespec deadline = deadline_after(STOP_WAIT_S);
	(void)pthread_mutex_lock(&logger.mutex);
	logger.is_stopping = true;
	(void)pthread_cond_broadcast(&logger.changed);
	while (!logger.is_finished &&
	       pthread_cond_timedwait(&logger.changed, &logger.mutex, &deadline) == 0)
		continue;
	is_finished = logger.is_finished;
	(void)pthread_mutex_unlock(&logger.mutex);

	/* A writer that is stuck on a reader who never reads goes with the process. */
	if (is_finished)
		(void)pthread_join(logger.thread, NULL);
	else
		(void)pthread_detach(logger.thread);
	atomic_store_explicit(&logger.is_started, false, memory_order_release);
}
