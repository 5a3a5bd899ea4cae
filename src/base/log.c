#include "base/log.h"

#include "base/list.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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
	STAMP_SIZE = 32,
};

struct log_line {
	struct list link;
	time_t when;
	enum log_level level;
	char text[]; /* "LOG5[12]: …" without an end of line */
};

struct log_scope log_main = {.level = LOG_LEVEL_NOTICE, .id = "ui"};

enum { FILE_STAYS = -2 };

static struct {
	log_line_cb *on_line; /* instead of all that follows; NULL: nobody */
	void *on_line_arg;
	bool to_stderr;
	atomic_bool to_syslog;
	char *ident; /* owned; syslog borrows it */
	int file;    /* -1: none; the writer thread's once it runs */

	bool is_started;
	pthread_t thread;
	pthread_mutex_t mutex; /* guards all below */
	pthread_cond_t changed;
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
	.file = -1,
	.next_file = FILE_STAYS,
	.mutex = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
	.queue = {&logger.queue, &logger.queue},
};

/* Writes all of it, waiting where the descriptor is a slow pipe; gives up on any real error,
 * because a log that cannot be written (a full disk) must not stop anything. */
static void
write_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, text, length);
		if (written >= 0) {
			text += written;
			length -= (size_t)written;
		} else if (errno == EAGAIN) {
			struct pollfd wait = {.fd = fd, .events = POLLOUT};
			(void)poll(&wait, 1, -1);
		} else if (errno != EINTR) {
			return;
		}
	}
}

static bool
is_to_syslog(void)
{
	return atomic_load_explicit(&logger.to_syslog, memory_order_relaxed);
}

static void
write_line(time_t when, enum log_level level, const char *text)
{
	if (is_to_syslog())
		syslog((int)level, "%s", text);
	if (!logger.to_stderr && logger.file < 0)
		return;

	struct tm local;
	char stamp[STAMP_SIZE];
	char line[STAMP_SIZE + LOG_TEXT_SIZE + LOG_ID_SIZE + 16];
	(void)localtime_r(&when, &local);
	(void)strftime(stamp, sizeof stamp, "%Y.%m.%d %H:%M:%S", &local);
	int length = snprintf(line, sizeof line, "%s %s\n", stamp, text);
	if (logger.to_stderr)
		write_all(STDERR_FILENO, line, (size_t)length);
	if (logger.file >= 0)
		write_all(logger.file, line, (size_t)length);
}

/* stunnel marks a line's urgency by one character while there is no log yet. */
static void
write_startup_line(enum log_level level, const char *text)
{
	static const char marks[] = {'*', '*', '*', '!', ':', '.', ' ', ' '};

	(void)fprintf(stderr, "[%c] %s\n", marks[level], text);
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
	while (!is_work_waiting() && !logger.is_stopping)
		(void)pthread_cond_wait(&logger.changed, &logger.mutex);
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

static int
open_log(const char *path, bool overwrite)
{
	int mode = overwrite ? O_TRUNC : O_APPEND;

	return open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | mode, 0640);
}

static void
switch_file(int file)
{
	if (logger.file >= 0)
		(void)close(logger.file);
	logger.file = file;
}

static void write_own_line(enum log_level level, const char *format, ...) ATTR_PRINTF(2, 3);

/* A line about the log itself. */
static void
write_own_line(enum log_level level, const char *format, ...)
{
	char text[LOG_TEXT_SIZE];
	char line[LOG_TEXT_SIZE + 16];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	(void)snprintf(line, sizeof line, "LOG%d[log]: %s", (int)level, text);
	write_line(time(NULL), level, line);
}

static void
reopen(const char *path, bool overwrite)
{
	int file = open_log(path, overwrite);
	char reason[128] = "";

	if (file >= 0) {
		switch_file(file);
		return;
	}
	(void)strerror_r(errno, reason, sizeof reason);
	write_own_line(LOG_LEVEL_ERROR,
		       "cannot open the log file '%s' again: %s; it goes on in the old one", path,
		       reason);
}

static void *
run_writer(void *unused ATTR_UNUSED)
{
	struct log_work work;

	while (take_work(&work)) {
		while (!list_is_empty(&work.lines)) {
			struct log_line *line = LIST_ITEM(work.lines.next, struct log_line, link);
			write_line(line->when, line->level, line->text);
			list_remove(&line->link);
			free(line);
		}
		if (work.dropped > 0)
			write_own_line(LOG_LEVEL_WARNING,
				       "%lu line(s) lost: the log is read too slowly",
				       work.dropped);
		if (work.next_file != FILE_STAYS)
			switch_file(work.next_file);
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

static void
enqueue(enum log_level level, const char *text)
{
	size_t size = strlen(text) + 1;
	struct log_line *line = malloc(sizeof *line + size);

	(void)pthread_mutex_lock(&logger.mutex);
	if (line == NULL || logger.queued >= QUEUE_LIMIT) {
		logger.dropped++;
		free(line);
	} else {
		line->when = time(NULL);
		line->level = level;
		memcpy(line->text, text, size);
		list_append(&logger.queue, &line->link);
		if (logger.queued++ == 0)
			(void)pthread_cond_signal(&logger.changed);
	}
	(void)pthread_mutex_unlock(&logger.mutex);
}

void
log_write(const struct log_scope *scope, enum log_level level, const char *format, ...)
{
	if (!log_is_on(scope, level))
		return;

	char raw[LOG_TEXT_SIZE];
	char text[LOG_TEXT_SIZE];
	char line[LOG_TEXT_SIZE + LOG_ID_SIZE + 16];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(raw, sizeof raw, format, arguments);
	va_end(arguments);
	(void)text_escape(text, sizeof text, raw);
	if (logger.on_line != NULL) {
		logger.on_line(logger.on_line_arg, level, text);
		return;
	}
	(void)snprintf(line, sizeof line, "LOG%d[%s]: %s", (int)level, scope->id, text);

	if (logger.is_started) {
		enqueue(level, line);
		return;
	}
	write_startup_line(level, text);
	if (is_to_syslog())
		syslog((int)level, "%s", line);
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
	if (!logger.is_started) {
		switch_file(file);
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
	int file = open_log(path, overwrite);

	if (file < 0)
		return err_set_errno(err, errno, "cannot open the log file '%s'", path);
	use_file(file, path, overwrite);
	return true;
}

void
log_close_file(void)
{
	use_file(-1, NULL, false);
}

void
log_reopen_file(void)
{
	(void)pthread_mutex_lock(&logger.mutex);
	logger.must_reopen = true;
	(void)pthread_cond_signal(&logger.changed);
	(void)pthread_mutex_unlock(&logger.mutex);
}

bool
log_start(bool to_stderr, struct err *err)
{
	sigset_t all;
	sigset_t before;

	(void)fflush(stderr);
	logger.to_stderr = to_stderr;
	/* Signals are the main thread's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int failure = pthread_create(&logger.thread, NULL, run_writer, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failure != 0)
		return err_set_errno(err, failure, "cannot start the log's thread");
	logger.is_started = true;
	return true;
}

void
log_stop(void)
{
	struct timespec deadline;
	bool is_finished;

	if (!logger.is_started)
		return;

	(void)clock_gettime(CLOCK_REALTIME, &deadline); /* the clock that pthread_cond_* uses */
	deadline.tv_sec += STOP_WAIT_S;
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
	logger.is_started = false;
}
