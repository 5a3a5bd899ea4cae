#include "daemon.h"

#include "base/compat.h"
#include "base/log.h"
#include "base/memory.h"
#include "confine.h"
#include "control/control.h"
#include "drain.h"
#include "loader.h"
#include "log_options.h"
#include "notify.h"
#include "process.h"
#include "reload.h"
#include "serving.h"
#include "signals.h"
#include "tunnel/activation.h"
#include "tunnel/inbox.h"
#include "tunnel/worker.h"
#include "wake.h"
#include "watchdog.h"

#include <event2/event.h>
#include <event2/thread.h>
#include <libssh2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	/* Descriptors that are no client's: logs, listeners, loops, name lookups. */
	RESERVED_DESCRIPTORS = 64,
	DESCRIPTORS_PER_CLIENT = 2,
};

struct daemon {
	bool is_foreground;
	bool logs_to_stderr;
	char *path; /* owned; of the configuration; NULL: it came from a descriptor */
	/* One reference, of the start: what it says for the process as a whole is in force. */
	struct setup *setup;
	const struct config *config;   /* borrowed from it */
	struct activation *activation; /* owned; NULL: nobody passed sockets */
	struct serving *serving;       /* owned */
	struct event_base *base;       /* owned; the main thread's */
	struct inbox *inbox;           /* owned */
	struct signals *signals;       /* owned */
	struct reload *reload;         /* owned */
	struct control *control;       /* owned */
	bool is_running;
	struct drain *drain;       /* owned; NULL: it does not end yet */
	struct watchdog *watchdog; /* owned; NULL: nobody wants to know */
	struct wake *wake;         /* owned */
	bool has_pid_file;
	struct reach *reach; /* owned; what the sandbox was made for */
	struct confinement confinement;
};

int
daemon_check(const struct arguments *arguments)
{
	struct report *report = report_new();
	struct setup *setup = loader_load(arguments->path, arguments->fd, report);
	bool is_valid = setup != NULL;

	log_options_tell(report, REPORT_ERROR, REPORT_NOTE);
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

/* All that needs privileges or a terminal; in stunnel's order. */
static bool
settle_in(struct daemon *daemon, struct err *err)
{
	const struct global_options *global = &daemon->config->global;

	if (!process_confine(global, err) || !log_options_open(global, err))
		return false;
	/* By their names from here, which a relative path does not survive. */
	daemon->reach = reach_of(daemon->config);
	if (control_path(daemon->control) != NULL)
		reach_add_socket(daemon->reach, control_path(daemon->control),
				 config_option_at(daemon->config, "control"), "control");
	if (!daemon->is_foreground && !process_detach(err))
		return false;
	if (global->pid != NULL) {
		daemon->has_pid_file = process_write_pid(global->pid, err);
		if (!daemon->has_pid_file)
			return false;
	}
	/* After all that it would forbid, and before the threads, which inherit it. */
	return confine_start(global->sandbox, daemon->reach, &daemon->confinement, err);
}

static void
log_confinement(const struct daemon *daemon)
{
	const struct confinement *confinement = &daemon->confinement;

	if (daemon->config->global.sandbox == SANDBOX_NO)
		log_write(&log_main, LOG_LEVEL_NOTICE, "Sandbox: off (sandbox = no)");
	else
		log_write(&log_main, LOG_LEVEL_NOTICE, "Sandbox: %s%s%s",
			  confinement->text[0] != '\0' ? confinement->text : "nothing",
			  confinement->missing[0] != '\0' ? "; missing: " : "",
			  confinement->missing);
}

static int
timeout_drain_s(const struct daemon *daemon)
{
	return setup_config(serving_setup(daemon->serving))->global.timeout_drain_s;
}

static void
stop_now(struct daemon *daemon)
{
	(void)event_base_loopbreak(daemon->base);
}

static void
on_drained(void *arg, bool is_complete)
{
	struct daemon *daemon = arg;

	if (!is_complete)
		log_write(&log_main, LOG_LEVEL_WARNING,
			  "%d client(s) were not done within TIMEOUTdrain = %d s",
			  serving_client_count(daemon->serving), timeout_drain_s(daemon));
	stop_now(daemon);
}

/* Lets requests in flight finish, and then ends. */
static void
stop_in_order(struct daemon *daemon)
{
	int timeout_s = timeout_drain_s(daemon);
	char status[80];

	(void)snprintf(status, sizeof status, "waiting for the replies of %d client(s)",
		       serving_client_count(daemon->serving));
	notify_stopping(timeout_s, status);
	reload_refuse(daemon->reload, "the daemon is about to end");
	log_write(&log_main, LOG_LEVEL_NOTICE, "Stopping: %s, for %d s at most", status, timeout_s);
	daemon->drain = drain_start(daemon->serving, daemon->base, daemon->inbox, timeout_s,
				    on_drained, daemon);
}

/* Whoever asks a second time does not want to wait. */
static void
stop_or_hurry(struct daemon *daemon)
{
	if (daemon->drain == NULL)
		stop_in_order(daemon);
	else
		stop_now(daemon);
}

static void
list_tunnels(const struct daemon *daemon)
{
	log_write(&log_main, LOG_LEVEL_NOTICE, "Received SIGUSR2; there are %d client(s)",
		  serving_client_count(daemon->serving));
	for (size_t i = 0; i < serving_worker_count(daemon->serving); i++)
		worker_list_tunnels(serving_worker(daemon->serving, i));
}

/* Where it can be opened, the line is the last one in the old file, or the first one in the new. */
static void
reopen_log(void)
{
	bool has_file = log_reopen_file();

	log_write(&log_main, LOG_LEVEL_NOTICE,
		  has_file ? "Received SIGUSR1; opening the log file anew"
			   : "Received SIGUSR1; there is no log file to open anew");
}

static void
on_signal(void *arg, int number)
{
	struct daemon *daemon = arg;
	struct err err;

	switch (number) {
	case SIGHUP:
		log_write(&log_main, LOG_LEVEL_NOTICE, "Received SIGHUP; reloading");
		if (!reload_start(daemon->reload, NULL, NULL, &err))
			log_write(&log_main, LOG_LEVEL_ERROR, "%s", err.text);
		break;
	case SIGUSR1:
		reopen_log();
		break;
	case SIGUSR2:
		list_tunnels(daemon);
		break;
	default:
		log_write(&log_main, LOG_LEVEL_NOTICE, "Received %s; terminating",
			  signals_name(number));
		if (number == SIGTERM)
			stop_or_hurry(daemon);
		else
			stop_now(daemon);
		break;
	}
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
make_loop(struct daemon *daemon, struct err *err)
{
	event_set_log_callback(on_libevent_message);
	if (libssh2_init(0) != 0)
		return err_set(err, "cannot prepare libssh2");
	/* For libevent's few process-wide parts; the loops themselves are each in one thread. */
	if (evthread_use_pthreads() != 0)
		return err_set(err, "cannot prepare libevent for threads");
	daemon->base = event_base_new();
	if (daemon->base != NULL) {
		daemon->inbox = inbox_new(daemon->base, daemon);
		daemon->signals = signals_new(daemon->base, on_signal, daemon);
	}
	if (daemon->inbox == NULL || daemon->signals == NULL)
		return err_set(err, "cannot make the main event loop");
	return true;
}

static enum control_phase
phase_of(const struct daemon *daemon)
{
	if (!daemon->is_running)
		return CONTROL_STARTING;
	if (daemon->drain != NULL)
		return CONTROL_STOPPING;
	return reload_get_tally(daemon->reload)->is_loading ? CONTROL_RELOADING : CONTROL_RUNNING;
}

static void
describe(void *arg, struct control_facts *ret_facts)
{
	const struct daemon *daemon = arg;
	const struct reload_tally *tally = reload_get_tally(daemon->reload);

	*ret_facts = (struct control_facts){
		.confinement = daemon->confinement.text,
		.phase = phase_of(daemon),
		.setup = serving_setup(daemon->serving),
		.workers = serving_workers(daemon->serving),
		.worker_count = serving_worker_count(daemon->serving),
		.listeners = serving_listeners(daemon->serving),
		.reloads = tally->count,
		.reloads_failed = tally->failed,
		.reloaded_ms = tally->at_ms,
		.reload_error = tally->error[0] != '\0' ? tally->error : NULL,
	};
}

static bool
begin_reload(void *arg, control_reloaded_cb *on_done, void *on_done_arg, struct err *err)
{
	const struct daemon *daemon = arg;

	log_write(&log_main, LOG_LEVEL_NOTICE, "Told to reload on the control socket");
	return reload_start(daemon->reload, on_done, on_done_arg, err);
}

static void
stop(void *arg)
{
	struct daemon *daemon = arg;

	log_write(&log_main, LOG_LEVEL_NOTICE, "Told to stop on the control socket; terminating");
	stop_or_hurry(daemon);
}

static bool
start_control(struct daemon *daemon, struct err *err)
{
	const struct control_host host = {
		.describe = describe,
		.reload = begin_reload,
		.stop = stop,
		.arg = daemon,
	};

	return control_start(daemon->control, daemon->base, daemon->inbox, &host, err);
}

static bool
start(struct daemon *daemon, struct err *err)
{
	if (!make_loop(daemon, err) || !serving_start(daemon->serving, daemon->base, err))
		return false;
	const struct reload_request request = {
		.serving = daemon->serving,
		.inbox = daemon->inbox,
		.path = daemon->path,
		.in_force = daemon->config,
		.granted = daemon->confinement.holds_reach ? daemon->reach : NULL,
	};
	daemon->reload = reload_new(&request);
	if (!start_control(daemon, err))
		return false;
	daemon->wake = wake_start(daemon->serving, daemon->base);
	if (watchdog_interval_us() > 0)
		daemon->watchdog = watchdog_start(daemon->serving, daemon->base, daemon->inbox,
						  watchdog_interval_us());
	/* Last, because until then errors reach the terminal as well. */
	return log_start(daemon->logs_to_stderr, err);
}

static void
close_all(struct daemon *daemon)
{
	serving_free(daemon->serving);
	/* Workers and loader have ended: nobody posts any more. */
	reload_free(daemon->reload);
	control_close(daemon->control);
	signals_free(daemon->signals);
	inbox_free(daemon->inbox); /* with their last messages */
	drain_free(daemon->drain);
	wake_free(daemon->wake);
	watchdog_free(daemon->watchdog);
	if (daemon->base != NULL)
		event_base_free(daemon->base);
	activation_free(daemon->activation);
	libssh2_exit();
	if (daemon->has_pid_file)
		(void)unlink(daemon->config->global.pid);
	reach_free(daemon->reach);
}

/* How many clients so many descriptors allow; one at least. */
static int
room_for_clients(int descriptors)
{
	int room = (descriptors - RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_CLIENT;

	return room > 0 ? room : 1;
}

static void
log_start_of(const struct daemon *daemon, const struct report *report)
{
	log_write(&log_main, LOG_LEVEL_NOTICE, "cachetunnel %s, %zu worker(s)", CACHETUNNEL_VERSION,
		  serving_worker_count(daemon->serving));
	log_options_tell(report, REPORT_WARNING, REPORT_NOTE);
	for (size_t i = 0; i < daemon->config->service_count; i++)
		serving_log_service(daemon->config->services[i]);
}

static void
serve(struct daemon *daemon)
{
	char status[SERVING_TEXT_SIZE];

	for (size_t i = 0; i < serving_worker_count(daemon->serving); i++)
		worker_warm_up(serving_worker(daemon->serving, i));
	notify_ready(serving_describe(daemon->serving, status, sizeof status));
	process_report_ready();
	(void)event_base_dispatch(daemon->base);
	/* One more signal would end what is nearly at its end, and with a bad status. */
	signals_hold();
	if (daemon->drain == NULL)
		notify_stopping(0, "ending");
}

/* From a valid configuration to a running daemon, and to its end. */
static bool
run(struct daemon *daemon, struct report *report)
{
	struct err err;
	bool is_started = false;

	signals_hold();
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a log that may not grow any more: LimitFSIZE= */
	setup_set_room(daemon->setup, room_for_clients(process_set_limits()));
	log_options_begin(&daemon->config->global, daemon->is_foreground);
	if (daemon->activation != NULL &&
	    !activation_assign(daemon->activation, daemon->config, &err))
		report_add(report, REPORT_ERROR, (struct location){0}, "%s", err.text);
	else
		daemon->control = control_open(&daemon->config->global, report);
	if (daemon->control != NULL)
		daemon->serving = serving_open(daemon->setup, daemon->activation, report);
	if (daemon->serving == NULL) {
		log_options_tell(report, REPORT_ERROR, REPORT_ERROR);
		goto out;
	}
	/* Whoever starts a daemon by hand sees the warnings on the terminal. */
	if (!daemon->is_foreground)
		log_options_tell(report, REPORT_WARNING, REPORT_WARNING);
	if (!settle_in(daemon, &err) || !start(daemon, &err)) {
		log_write(&log_main, LOG_LEVEL_ERROR, "%s", err.text);
		goto out;
	}
	is_started = true;
	daemon->is_running = true;
	signals_release();
	log_start_of(daemon, report);
	log_confinement(daemon);
	serve(daemon);
out:
	close_all(daemon);
	return is_started;
}

int
daemon_run(const struct arguments *arguments)
{
	struct report *report = report_new();
	struct daemon daemon = {
		.activation = activation_take(),
		.path = arguments->fd < 0 ? process_absolute_path(arguments->path) : NULL,
		.setup = loader_load(arguments->path, arguments->fd, report),
	};
	bool is_started = false;

	if (daemon.setup == NULL) {
		activation_free(daemon.activation);
		log_options_tell(report, REPORT_ERROR, REPORT_NOTE);
	} else {
		daemon.config = setup_config(daemon.setup);
		decide_foreground(&daemon, arguments);
		is_started = run(&daemon, report);
	}
	setup_unref(daemon.setup);
	free(daemon.path);
	report_free(report);
	log_stop();
	return is_started ? EXIT_SUCCESS : EXIT_FAILURE;
}
