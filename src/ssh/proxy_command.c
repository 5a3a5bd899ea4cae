#include "ssh/proxy_command.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/list.h"
#include "base/text.h"
#include "ssh/child.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	LINE_SIZE = 512, /* longer ones are logged in pieces */
	CHUNK_SIZE = 4096,
	DRAIN_CHUNKS = 16, /* as much as a pipe holds */
	FIRST_POLL_MS = 5, /* then twice as long each time */
	SLOWEST_POLL_MS = 2000,
	SLOWEST_REAP_MS = 100,
	GRACE_MS = 1000,  /* between SIGTERM and SIGKILL */
	FINISH_MS = 1500, /* the grace, and time to die */
};

struct proxy_command {
	pid_t pid;                   /* of the child, its session and its process group */
	const struct log_scope *log; /* borrowed; NULL once stopped */
	proxy_command_end_cb *on_end;
	void *arg;

	int stderr_fd; /* owned; -1 at its end: then nobody of the group is left, as a rule */
	struct event on_stderr;
	char line[LINE_SIZE]; /* its text so far */
	size_t line_length;
	char last_line[LINE_SIZE]; /* escaped */

	bool has_ended; /* seen; perhaps still a zombie, which keeps the group's number ours */
	bool is_reaped;
	char outcome[LINE_SIZE + 80];

	struct event timer; /* there is no event for a child's end, so it is asked for */
	long poll_ms;
	uint64_t stopped_us;
	bool is_killed;
	struct list link; /* for proxy_command_finish() */
};

static void
end_line(struct proxy_command *proxy)
{
	char *text;

	proxy->line[proxy->line_length] = '\0';
	proxy->line_length = 0;
	text = text_trim(proxy->line);
	if (*text == '\0')
		return;
	(void)text_escape(proxy->last_line, sizeof proxy->last_line, text);
	if (proxy->log != NULL)
		log_write(proxy->log, LOG_LEVEL_NOTICE, "proxyCommand: %s", proxy->last_line);
}

static void
take_text(struct proxy_command *proxy, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] != '\n')
			proxy->line[proxy->line_length++] = text[i] == '\0' ? '.' : text[i];
		if (text[i] == '\n' || proxy->line_length == LINE_SIZE - 1)
			end_line(proxy);
	}
}

static void
close_stderr(struct proxy_command *proxy)
{
	if (proxy->stderr_fd < 0)
		return;
	(void)event_del(&proxy->on_stderr);
	(void)close(proxy->stderr_fd);
	proxy->stderr_fd = -1;
	end_line(proxy);
}

/* False when nothing more is there for now, or ever. */
static bool
read_chunk(struct proxy_command *proxy)
{
	char chunk[CHUNK_SIZE];

	if (proxy->stderr_fd < 0)
		return false;
	ssize_t count = read(proxy->stderr_fd, chunk, sizeof chunk);
	if (count > 0) {
		take_text(proxy, chunk, (size_t)count);
		return true;
	}
	if (count == 0 || (errno != EAGAIN && errno != EINTR))
		close_stderr(proxy);
	return false;
}

/* Whoever writes without end does not keep us here. */
static void
drain_stderr(struct proxy_command *proxy)
{
	for (int i = 0; i < DRAIN_CHUNKS && read_chunk(proxy); i++)
		continue;
}

static void
describe_end(struct proxy_command *proxy, const siginfo_t *how)
{
	char reason[64];

	if (how == NULL)
		(void)snprintf(reason, sizeof reason, "ended, nobody knows how");
	else if (how->si_code == CLD_EXITED)
		(void)snprintf(reason, sizeof reason, "exit status %d", how->si_status);
	else
		(void)snprintf(reason, sizeof reason, "killed by signal %d", how->si_status);
	(void)snprintf(proxy->outcome, sizeof proxy->outcome, "%s%s%s", reason,
		       proxy->last_line[0] != '\0' ? ": " : "", proxy->last_line);
}

/* Looks whether the child has ended, leaving it a zombie: as long as it is one, nobody else can
 * get the number that its process group is signalled by. */
static bool
has_ended(struct proxy_command *proxy)
{
	siginfo_t how = {0};

	if (proxy->has_ended)
		return true;
	if (waitid(P_PID, (id_t)proxy->pid, &how, WEXITED | WNOHANG | WNOWAIT) != 0) {
		if (errno == EINTR)
			return false;
		/* Somebody waits for all children, or ignores SIGCHLD. */
		proxy->is_reaped = true;
	} else if (how.si_pid == 0) {
		return false;
	}
	proxy->has_ended = true;
	drain_stderr(proxy);
	end_line(proxy);
	describe_end(proxy, proxy->is_reaped ? NULL : &how);
	return true;
}

static void
reap(struct proxy_command *proxy)
{
	if (!proxy->is_reaped)
		(void)waitpid(proxy->pid, NULL, WNOHANG);
	proxy->is_reaped = true;
}

static void
signal_group(struct proxy_command *proxy, int number)
{
	/* A child that was started just now may not have made its group yet. */
	if (!proxy->is_reaped && kill(-proxy->pid, number) != 0)
		(void)kill(proxy->pid, number);
}

static void
set_timer(struct proxy_command *proxy, long slowest_ms)
{
	struct timeval interval = {.tv_sec = proxy->poll_ms / 1000,
				   .tv_usec = (suseconds_t)(proxy->poll_ms % 1000 * 1000)};

	(void)event_add(&proxy->timer, &interval);
	proxy->poll_ms = proxy->poll_ms * 2 < slowest_ms ? proxy->poll_ms * 2 : slowest_ms;
}

/* Only while somebody wants to know, or standard error says that the end is near. */
static void
poll_soon(struct proxy_command *proxy)
{
	if (proxy->is_reaped && proxy->on_end == NULL)
		return;
	proxy->poll_ms = FIRST_POLL_MS;
	set_timer(proxy, SLOWEST_POLL_MS);
}

static void
on_poll(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct proxy_command *proxy = arg;
	proxy_command_end_cb *on_end = proxy->on_end;

	if (!has_ended(proxy)) {
		if (on_end != NULL || proxy->stderr_fd < 0)
			set_timer(proxy, SLOWEST_POLL_MS);
		return;
	}
	if (proxy->stderr_fd < 0)
		reap(proxy);
	proxy->on_end = NULL;
	if (on_end != NULL)
		on_end(proxy->arg, proxy->outcome);
}

static void
on_stderr(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct proxy_command *proxy = arg;

	(void)read_chunk(proxy);
	if (proxy->stderr_fd < 0)
		poll_soon(proxy);
}

static void
free_proxy(struct proxy_command *proxy)
{
	close_stderr(proxy);
	(void)event_del(&proxy->timer);
	free(proxy);
}

/* One look at a child that was stopped. True when it is gone, and all of its group that can be
 * known: then the handle may go too. */
static bool
reap_step(struct proxy_command *proxy)
{
	bool is_late = clock_now_us() - proxy->stopped_us >= GRACE_MS * UINT64_C(1000);

	drain_stderr(proxy);
	if (has_ended(proxy) && (proxy->stderr_fd < 0 || proxy->is_killed || proxy->is_reaped)) {
		reap(proxy);
		return true;
	}
	if (is_late && !proxy->is_killed) {
		signal_group(proxy, SIGKILL);
		proxy->is_killed = true;
		proxy->poll_ms = FIRST_POLL_MS;
	}
	return false;
}

static void
on_reap(evutil_socket_t fd ATTR_UNUSED, short what ATTR_UNUSED, void *arg)
{
	struct proxy_command *proxy = arg;

	if (reap_step(proxy))
		free_proxy(proxy);
	else
		set_timer(proxy, SLOWEST_REAP_MS);
}

static void
close_both(const int ends[2])
{
	for (int i = 0; i < 2; i++) {
		if (ends[i] >= 0)
			(void)close(ends[i]);
	}
}

struct proxy_command *
proxy_command_start(struct event_base *base, const char *command, const struct log_scope *log,
		    int *ret_fd, struct err *err)
{
	struct proxy_command *proxy = calloc(1, sizeof *proxy);
	int way[2] = {-1, -1};
	int errors[2] = {-1, -1};

	if (proxy == NULL) {
		(void)err_set(err, "no memory for proxyCommand");
		return NULL;
	}
	/* The child's ends are ordinary blocking ones; ours stay as they are. */
	if (!compat_socket_pair(way) || !compat_pipe(errors) || fcntl(way[1], F_SETFL, 0) != 0 ||
	    fcntl(errors[1], F_SETFL, 0) != 0)
		goto failed;
	proxy->pid = child_start(command, way[1], errors[1]);
	if (proxy->pid < 0)
		goto failed;
	(void)close(way[1]);
	(void)close(errors[1]);
	*ret_fd = way[0];
	proxy->log = log;
	proxy->stderr_fd = errors[0];
	(void)event_assign(&proxy->on_stderr, base, errors[0], EV_READ | EV_PERSIST, on_stderr,
			   proxy);
	(void)event_assign(&proxy->timer, base, -1, 0, on_poll, proxy);
	(void)event_add(&proxy->on_stderr, NULL);
	return proxy;
failed:
	(void)err_set_errno(err, errno, "cannot run proxyCommand");
	close_both(way);
	close_both(errors);
	free(proxy);
	return NULL;
}

void
proxy_command_stop(struct proxy_command *proxy)
{
	if (proxy == NULL)
		return;
	proxy->log = NULL;
	proxy->on_end = NULL;
	proxy->stopped_us = clock_now_us();
	(void)event_del(&proxy->timer);
	(void)event_del(&proxy->on_stderr);
	signal_group(proxy, SIGTERM);
	if (reap_step(proxy)) {
		free_proxy(proxy);
		return;
	}
	(void)event_assign(&proxy->timer, event_get_base(&proxy->timer), -1, 0, on_reap, proxy);
	proxy->poll_ms = FIRST_POLL_MS;
	set_timer(proxy, SLOWEST_REAP_MS);
}

static int
find_stopped(const struct event_base *base ATTR_UNUSED, const struct event *event, void *arg)
{
	struct proxy_command **ret_proxy = arg;

	if (event_get_callback(event) != on_reap)
		return 0;
	*ret_proxy = event_get_callback_arg(event);
	return 1;
}

void
proxy_command_finish(struct event_base *base)
{
	uint64_t deadline_us = clock_now_us() + FINISH_MS * UINT64_C(1000);
	struct proxy_command *proxy = NULL;
	struct list left;

	list_init(&left);
	while (event_base_foreach_event(base, find_stopped, &proxy) != 0) {
		(void)event_del(&proxy->timer);
		list_append(&left, &proxy->link);
	}
	while (!list_is_empty(&left)) {
		struct list *next;
		bool is_over = clock_now_us() >= deadline_us;
		for (struct list *link = left.next; link != &left; link = next) {
			next = link->next;
			proxy = LIST_ITEM(link, struct proxy_command, link);
			if (!reap_step(proxy) && !is_over)
				continue;
			list_remove(link);
			free_proxy(proxy);
		}
		if (!list_is_empty(&left))
			(void)poll(NULL, 0, FIRST_POLL_MS);
	}
}

const char *
proxy_command_outcome(struct proxy_command *proxy)
{
	if (!has_ended(proxy))
		return NULL;
	if (proxy->stderr_fd < 0)
		reap(proxy);
	return proxy->outcome;
}

void
proxy_command_set_handler(struct proxy_command *proxy, proxy_command_end_cb *on_end, void *arg)
{
	proxy->on_end = on_end;
	proxy->arg = arg;
	if (on_end != NULL)
		poll_soon(proxy);
}
