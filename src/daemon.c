#include "daemon.h"

#include "base/compat.h"
#include "base/log.h"
#include "base/memory.h"
#include "notify.h"
#include "process.h"
#include "tunnel/generation.h"
#include "tunnel/listener.h"
#include "tunnel/setup.h"
#include "tunnel/socket_setup.h"
#include "tunnel/worker.h"

#include <event2/event.h>
#include <event2/thread.h>
#include <libssh2.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

enum {
	MAX_DEFAULT_WORKERS = 4,
	/* Descriptors that are no client's: logs, listeners, loops, name lookups. */
	RESERVED_DESCRIPTORS = 64,
	DESCRIPTORS_PER_CLIENT = 2,
};

static const int stop_signals[] = {SIGTERM, SIGINT, SIGQUIT};
static const int idle_signals[] = {SIGHUP, SIGUSR1, SIGUSR2};

enum { SIGNAL_COUNT = ARRAY_LENGTH(stop_signals) + ARRAY_LENGTH(idle_signals) };

struct daemon {
	bool is_foreground;
	bool logs_to_stderr;
	struct setup *setup;         /* one reference */
	const struct config *config; /* borrowed from it */
	struct listener **listeners; /* owned; one for each service */
	struct worker **workers;     /* owned */
	int worker_count;
	struct event_base *base;             /* owned; the main thread's */
	struct event *signals[SIGNAL_COUNT]; /* owned */
	bool has_pid_file;
};

static void
log_report(const struct report *report, enum report_level worst, enum report_level mildest)
{
	static const enum log_level levels[] = {
		[REPORT_ERROR] = LOG_LEVEL_ERROR,
		[REPORT_WARNING] = LOG_LEVEL_WARNING,
		[REPORT_NOTE] = LOG_LEVEL_NOTICE,
	};
	const struct report_entry *entry;

	for (size_t i = 0; (entry = report_get(report, i)) != NULL; i++) {
		if (entry->level >= worst && entry->level <= mildest)
			log_write(&log_main, levels[entry->level], "%s", entry->text);
	}
}

/* Reads the configuration and all that it names. NULL with the errors in `report`. */
static struct setup *
load(const struct arguments *arguments, struct report *report)
{
	struct config *config = arguments->fd >= 0 ? config_load_fd(arguments->fd, report)
						   : config_load(arguments->path, report);
	struct setup *setup = NULL;

	if (config != NULL)
		setup = setup_new(config, report);
	config_unref(config);
	return setup;
}

int
daemon_check(const struct arguments *arguments)
{
	struct report *report = report_new();
	struct setup *setup = load(arguments, report);
	bool is_valid = setup != NULL;

	log_report(report, REPORT_ERROR, REPORT_NOTE);
	if (is_valid)
		log_write(&log_main, LOG_LEVEL_NOTICE, "%s is valid: %zu service(s)",
			  setup_config(setup)->path, setup_config(setup)->service_count);
	else
		log_write(&log_main, LOG_LEVEL_ERROR, "%s cannot be used: %zu error(s)",
			  arguments->fd >= 0 ? "this configuration" : arguments->path,
			  report_count(report, REPORT_ERROR));
	setup_unref(setup);
	report_free(report);
	return is_valid ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void
decide_foreground(struct daemon *daemon, const struct arguments *arguments)
{
	const struct global_options *global = &daemon->config->global;
	const char *notify_socket = getenv("NOTIFY_SOCKET");
	bool must_stay = arguments->is_foreground || getpid() == 1 ||
			 (notify_socket != NULL && notify_socket[0] != '\0');

	daemon->is_foreground = must_stay || global->foreground != FOREGROUND_NO;
	daemon->logs_to_stderr = daemon->is_foreground && global->foreground != FOREGROUND_QUIET;
	/* The journal reads both; once is enough. */
	if (global->use_syslog && process_is_stderr_journal())
		daemon->logs_to_stderr = false;
}

static void
prepare_log(const struct daemon *daemon)
{
	const struct global_options *global = &daemon->config->global;
	int facility = global->debug.facility >= 0 ? global->debug.facility : LOG_DAEMON;

	log_main.level = (enum log_level)global->debug.level;
	(void)snprintf(log_main.id, sizeof log_main.id, "%s",
		       daemon->is_foreground ? "ui" : "main");
	if (global->use_syslog)
		log_open_syslog(global->syslog_ident, facility);
}

static bool
open_listeners(struct daemon *daemon, struct report *report)
{
	const struct config *config = daemon->config;
	bool are_open = true;

	daemon->listeners = memory_zero(config->service_count * sizeof(struct listener *));
	for (size_t i = 0; i < config->service_count; i++) {
		daemon->listeners[i] = listener_open(config->services[i], report);
		are_open = are_open && daemon->listeners[i] != NULL;
	}
	return are_open;
}

/* All that needs privileges or a terminal; in stunnel's order. */
static bool
settle_in(struct daemon *daemon, struct err *err)
{
	const struct global_options *global = &daemon->config->global;

	if (!process_confine(global, err))
		return false;
	if (global->output != NULL && !log_open_file(global->output, global->log_overwrite, err))
		return err_wrap(err, "output");
	if (!daemon->is_foreground && !process_detach(err))
		return false;
	if (global->pid == NULL)
		return true;
	daemon->has_pid_file = process_write_pid(global->pid, err);
	return daemon->has_pid_file;
}

static const char *
signal_name(int number)
{
	switch (number) {
	case SIGTERM:
		return "SIGTERM";
	case SIGINT:
		return "SIGINT";
	case SIGQUIT:
		return "SIGQUIT";
	case SIGHUP:
		return "SIGHUP";
	case SIGUSR1:
		return "SIGUSR1";
	case SIGUSR2:
		return "SIGUSR2";
	default:
		return "a signal";
	}
}

static void
on_stop_signal(evutil_socket_t number, short what ATTR_UNUSED, void *arg)
{
	struct daemon *daemon = arg;

	log_write(&log_main, LOG_LEVEL_NOTICE, "Received %s; terminating",
		  signal_name((int)number));
	(void)event_base_loopbreak(daemon->base);
}

static void
on_idle_signal(evutil_socket_t number, short what ATTR_UNUSED, void *arg ATTR_UNUSED)
{
	log_write(&log_main, LOG_LEVEL_NOTICE,
		  "Received %s, which has no effect in this version; restart to apply changes",
		  signal_name((int)number));
}

/* A signal that was ignored when we were started (nohup) stays ignored. */
static bool
is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static bool
watch_signals(struct daemon *daemon, size_t first, const int *numbers, size_t count,
	      event_callback_fn on_signal)
{
	for (size_t i = 0; i < count; i++) {
		if (is_ignored(numbers[i]))
			continue;
		struct event *event = evsignal_new(daemon->base, numbers[i], on_signal, daemon);
		if (event == NULL || event_add(event, NULL) != 0)
			return false;
		daemon->signals[first + i] = event;
	}
	return true;
}

static struct worker *
least_loaded(const struct daemon *daemon)
{
	struct worker *best = daemon->workers[0];

	for (int i = 1; i < daemon->worker_count; i++) {
		if (worker_load(daemon->workers[i]) < worker_load(best))
			best = daemon->workers[i];
	}
	return best;
}

static struct worker *
worker_for(const struct daemon *daemon, const struct service *service)
{
	size_t owner;

	if (generation_find_owner(service, (size_t)daemon->worker_count, &owner))
		return daemon->workers[owner];
	return least_loaded(daemon);
}

static void
turn_away(const struct daemon *daemon, const struct service *service, enum admission admission)
{
	log_write(&log_main, LOG_LEVEL_WARNING,
		  "Service [%s]: a client was turned away: %s has its maxClients = %d",
		  service->name, admission == ADMISSION_SERVICE_FULL ? "the service" : "the daemon",
		  setup_limit(daemon->setup, service->index, admission));
}

static void
on_client(void *arg, const struct service *service, int fd, const struct sockaddr_storage *peer,
	  socklen_t peer_length)
{
	struct daemon *daemon = arg;
	enum admission admission = setup_admit(daemon->setup, service->index);

	if (admission != ADMISSION_GRANTED) {
		(void)close(fd);
		turn_away(daemon, service, admission);
		return;
	}
	const struct worker_client client = {
		.fd = fd,
		.setup = setup_ref(daemon->setup),
		.service_index = service->index,
		.peer = *peer,
		.peer_length = peer_length,
	};
	if (worker_submit(worker_for(daemon, service), &client))
		return;
	(void)close(fd);
	setup_release(daemon->setup, service->index);
	setup_unref(daemon->setup);
}

static bool
has_room(void *arg)
{
	const struct daemon *daemon = arg;

	return setup_has_room(daemon->setup);
}

static bool
start_workers(struct daemon *daemon, struct err *err)
{
	int wanted = daemon->config->global.workers;
	int processors = compat_processor_count();

	if (wanted == 0)
		wanted = processors < MAX_DEFAULT_WORKERS ? processors : MAX_DEFAULT_WORKERS;
	daemon->workers = memory_zero((size_t)wanted * sizeof(struct worker *));
	for (int i = 0; i < wanted; i++) {
		daemon->workers[i] = worker_start(daemon->setup, (size_t)i, (size_t)wanted, err);
		if (daemon->workers[i] == NULL)
			return false;
		daemon->worker_count++;
	}
	return true;
}

/* libevent's own words (a name server that does not answer) belong into the log too. */
static void
on_libevent_message(int severity, const char *text)
{
	static const enum log_level levels[] = {
		[EVENT_LOG_DEBUG] = LOG_LEVEL_DEBUG,
		[EVENT_LOG_MSG] = LOG_LEVEL_INFO,
		[EVENT_LOG_WARN] = LOG_LEVEL_WARNING,
		[EVENT_LOG_ERR] = LOG_LEVEL_ERROR,
	};

	log_write(&log_main, levels[severity], "libevent: %s", text);
}

static bool
start(struct daemon *daemon, struct err *err)
{
	event_set_log_callback(on_libevent_message);
	if (libssh2_init(0) != 0)
		return err_set(err, "cannot prepare libssh2");
	/* For libevent's few process-wide parts; the loops themselves are each in one thread. */
	if (evthread_use_pthreads() != 0)
		return err_set(err, "cannot prepare libevent for threads");
	daemon->base = event_base_new();
	if (daemon->base == NULL ||
	    !watch_signals(daemon, 0, stop_signals, ARRAY_LENGTH(stop_signals), on_stop_signal) ||
	    !watch_signals(daemon, ARRAY_LENGTH(stop_signals), idle_signals,
			   ARRAY_LENGTH(idle_signals), on_idle_signal))
		return err_set(err, "cannot make the main event loop");
	if (!start_workers(daemon, err))
		return false;
	for (size_t i = 0; i < daemon->config->service_count; i++) {
		if (!listener_start(daemon->listeners[i], daemon->base, on_client, has_room,
				    daemon))
			return err_set(err, "cannot start accepting");
	}
	/* Last, because until then errors reach the terminal as well. */
	return log_start(daemon->logs_to_stderr, err);
}

static void
log_services(const struct daemon *daemon)
{
	for (size_t i = 0; i < daemon->config->service_count; i++) {
		const struct service *service = daemon->config->services[i];
		const struct address_list *accept = &service->options.accept;
		const struct address_list *endpoints = &service->options.connect;
		char from[SOCKET_NAME_SIZE];
		char to[SOCKET_NAME_SIZE];

		log_write(&log_main, LOG_LEVEL_NOTICE,
			  "Service [%s] listens on %s%s, connects to %s%s%s%s%s", service->name,
			  address_format(&accept->items[0], from, sizeof from),
			  accept->count > 1 ? " and more" : "",
			  address_format(&endpoints->items[0], to, sizeof to),
			  endpoints->count > 1 ? " and more" : "",
			  service->bastion != NULL ? " through bastion " : "",
			  service->bastion != NULL ? service->bastion->name : "",
			  service->options.plain ? ", without TLS" : "");
	}
}

static void
close_all(struct daemon *daemon)
{
	for (size_t i = 0; daemon->listeners != NULL && i < daemon->config->service_count; i++)
		listener_close(daemon->listeners[i]);
	free(daemon->listeners);
	for (int i = 0; i < daemon->worker_count; i++)
		worker_stop(daemon->workers[i]);
	free(daemon->workers);
	for (size_t i = 0; i < ARRAY_LENGTH(daemon->signals); i++) {
		if (daemon->signals[i] != NULL)
			event_free(daemon->signals[i]);
	}
	if (daemon->base != NULL)
		event_base_free(daemon->base);
	libssh2_exit();
	if (daemon->has_pid_file)
		(void)unlink(daemon->config->global.pid);
}

/* How many clients so many descriptors allow; one at least. */
static int
room_for_clients(int descriptors)
{
	int room = (descriptors - RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_CLIENT;

	return room > 0 ? room : 1;
}

static void
hold_stop_signals(int how)
{
	sigset_t signals;

	(void)sigemptyset(&signals);
	for (size_t i = 0; i < ARRAY_LENGTH(stop_signals); i++)
		(void)sigaddset(&signals, stop_signals[i]);
	(void)pthread_sigmask(how, &signals, NULL);
}

/* From a valid configuration to a running daemon, and to its end. */
static bool
run(struct daemon *daemon, struct report *report)
{
	struct err err;
	bool is_started = false;

	/* A stop that is asked for while we start counts once we can end in order. */
	hold_stop_signals(SIG_BLOCK);
	(void)signal(SIGPIPE, SIG_IGN);
	setup_set_room(daemon->setup, room_for_clients(process_set_limits()));
	prepare_log(daemon);
	if (!open_listeners(daemon, report)) {
		log_report(report, REPORT_ERROR, REPORT_ERROR);
		goto out;
	}
	/* Whoever starts a daemon by hand sees the warnings on the terminal. */
	if (!daemon->is_foreground)
		log_report(report, REPORT_WARNING, REPORT_WARNING);
	if (!settle_in(daemon, &err) || !start(daemon, &err)) {
		log_write(&log_main, LOG_LEVEL_ERROR, "%s", err.text);
		goto out;
	}
	is_started = true;
	hold_stop_signals(SIG_UNBLOCK);
	log_write(&log_main, LOG_LEVEL_NOTICE, "cachetunnel %s, %d worker(s)", CACHETUNNEL_VERSION,
		  daemon->worker_count);
	log_report(report, REPORT_WARNING, REPORT_NOTE);
	log_services(daemon);
	for (int i = 0; i < daemon->worker_count; i++)
		worker_warm_up(daemon->workers[i]);
	notify_ready("accepting clients");
	process_report_ready();
	(void)event_base_dispatch(daemon->base);
	notify_stopping();
out:
	close_all(daemon);
	return is_started;
}

int
daemon_run(const struct arguments *arguments)
{
	struct report *report = report_new();
	struct daemon daemon = {.setup = load(arguments, report)};
	bool is_started = false;

	if (daemon.setup == NULL) {
		log_report(report, REPORT_ERROR, REPORT_NOTE);
	} else {
		daemon.config = setup_config(daemon.setup);
		decide_foreground(&daemon, arguments);
		is_started = run(&daemon, report);
	}
	setup_unref(daemon.setup);
	report_free(report);
	log_stop();
	return is_started ? EXIT_SUCCESS : EXIT_FAILURE;
}
