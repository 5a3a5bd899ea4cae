#include "control/commands.h"

#include "base/clock.h"
#include "base/terminal.h"
#include "base/text.h"
#include "config/config.h"
#include "control/control_socket.h"
#include "control/http_client.h"
#include "control/json.h"
#include "control/status_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	PATH_SIZE = 256,
	ANSWER_PATIENCE_S = 15, /* longer than the daemon's own */
	RELOAD_PATIENCE_S = 60,
	DEFAULT_PATIENCE_S = 60,
	POLL_MS = 100,
	UPSTREAM_POLL_MS = 1000, /* each may make a connection to an endpoint */
	WATCH_MS = 1000,
};

static int
fail(const struct err *err)
{
	char line[ERR_TEXT_SIZE];

	(void)fprintf(stderr, "cachetunnel: %s\n", text_escape(line, sizeof line, err->text));
	return EXIT_FAILURE;
}

static void
sleep_ms(long ms)
{
	const struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	(void)nanosleep(&span, NULL);
}

/* What the file says about `control`; auto where there is no file that anybody named. */
static bool
find_socket(const struct command_request *request, char *out, size_t size, struct err *err)
{
	if (request->socket_path != NULL) {
		(void)snprintf(out, size, "%s", request->socket_path);
		return true;
	}
	char *setting = NULL;
	if (!config_read_global(request->config_path, "control", &setting, err) &&
	    !(request->is_default_path && access(request->config_path, F_OK) != 0))
		return err_wrap(err, "name the control socket with -c");
	bool is_found = control_socket_find(setting != NULL ? setting : "auto", out, size, err);
	free(setting);
	return is_found;
}

static bool
ask(const struct command_request *request, const char *method, const char *path, int patience_s,
    struct http_answer *ret_answer, struct err *err)
{
	char socket_path[PATH_SIZE];

	return find_socket(request, socket_path, sizeof socket_path, err) &&
	       http_client_ask(socket_path, method, path, patience_s, ret_answer, err);
}

/* Refused, with a line that says why, or several. */
static int
fail_with(struct http_answer *answer)
{
	const char *prefix = "cachetunnel: the daemon says: ";
	char *rest = NULL;

	if (answer->length == 0)
		(void)fprintf(stderr, "%snothing but status %d\n", prefix, answer->status);
	for (char *said = strtok_r(answer->body, "\n", &rest); said != NULL;
	     said = strtok_r(NULL, "\n", &rest)) {
		char line[1024];
		(void)fprintf(stderr, "%s%s\n", prefix, text_escape(line, sizeof line, said));
		prefix = "";
	}
	http_answer_done(answer);
	return EXIT_FAILURE;
}

/* Takes a JSON answer's body; NULL, with `err`, if it is none. */
static json_t *
take_json(struct http_answer *answer, struct err *err)
{
	json_error_t error;
	json_t *value = json_loadb(answer->body, answer->length, 0, &error);

	http_answer_done(answer);
	if (value == NULL)
		(void)err_set(err, "the daemon's answer cannot be understood: %s", error.text);
	return value;
}

static bool
show_table(struct http_answer *answer, bool clears, struct err *err)
{
	json_t *status = take_json(answer, err);

	if (status == NULL)
		return false;
	if (clears)
		(void)printf("\033[H\033[2J");
	status_table_print(status, terminal_has_colours());
	json_decref(status);
	return true;
}

int
command_status(const struct command_request *request)
{
	bool is_table = !request->is_json && isatty(STDOUT_FILENO) == 1;
	struct http_answer answer;
	struct err err;

	do {
		if (!ask(request, "GET", "/status", ANSWER_PATIENCE_S, &answer, &err))
			return fail(&err);
		if (answer.status != 200)
			return fail_with(&answer);
		if (!is_table) {
			(void)fwrite(answer.body, 1, answer.length, stdout);
			http_answer_done(&answer);
		} else if (!show_table(&answer, request->is_watching, &err)) {
			return fail(&err);
		}
		if (fflush(stdout) != 0)
			return EXIT_FAILURE; /* whoever read it has left */
		if (request->is_watching)
			sleep_ms(WATCH_MS);
	} while (request->is_watching);
	return EXIT_SUCCESS;
}

int
command_reload(const struct command_request *request)
{
	struct http_answer answer;
	struct err err;
	char line[1024];

	if (!ask(request, "POST", "/reload", RELOAD_PATIENCE_S, &answer, &err))
		return fail(&err);
	/* One that was not begun is told in a line, one that failed with its findings. */
	if (answer.body[0] != '{')
		return fail_with(&answer);
	bool is_applied = answer.status == 200;
	json_t *outcome = take_json(&answer, &err);
	if (outcome == NULL)
		return fail(&err);
	const json_t *findings = json_object_get(outcome, "findings");
	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *finding = json_array_get(findings, i);
		const char *text = json_string_value(json_object_get(finding, "text"));
		(void)fprintf(stderr, "%s\n",
			      text_escape(line, sizeof line, text != NULL ? text : ""));
	}
	json_decref(outcome);
	(void)fprintf(stderr,
		      is_applied ? "reloaded\n" : "not reloaded: the daemon goes on as it was\n");
	return is_applied ? EXIT_SUCCESS : EXIT_FAILURE;
}

static uint64_t
deadline_of(const struct command_request *request)
{
	int patience_s = request->patience_s > 0 ? request->patience_s : DEFAULT_PATIENCE_S;

	return clock_now_us() + (uint64_t)patience_s * 1000000;
}

/* Its socket goes when all else is done. That it does not answer says nothing: it may be busy, or
 * hang. */
static bool
wait_for_end(const char *socket_path, uint64_t until_us)
{
	uint64_t now_us;

	while ((now_us = clock_now_us()) < until_us) {
		uint64_t left_s = (until_us - now_us) / 1000000 + 1;
		struct http_answer answer;
		struct err err;
		if (http_client_ask(socket_path, "GET", "/livez",
				    left_s < ANSWER_PATIENCE_S ? (int)left_s : ANSWER_PATIENCE_S,
				    &answer, &err))
			http_answer_done(&answer);
		else if (err.kind == ERR_REFUSED)
			return true;
		sleep_ms(POLL_MS);
	}
	return false;
}

int
command_stop(const struct command_request *request)
{
	uint64_t until_us = deadline_of(request);
	char socket_path[PATH_SIZE];
	struct http_answer answer;
	struct err err;

	if (!find_socket(request, socket_path, sizeof socket_path, &err) ||
	    !http_client_ask(socket_path, "POST", "/stop", ANSWER_PATIENCE_S, &answer, &err))
		return fail(&err);
	if (answer.status != 202)
		return fail_with(&answer);
	http_answer_done(&answer);
	if (wait_for_end(socket_path, until_us))
		return EXIT_SUCCESS;
	(void)fprintf(stderr, "cachetunnel: the daemon was told, and still runs\n");
	return EXIT_FAILURE;
}

int
command_wait(const struct command_request *request)
{
	uint64_t until_us = deadline_of(request);
	const char *path = request->is_upstream ? "/readyz?upstream=1" : "/readyz";
	struct http_answer answer;
	struct err err;

	for (;;) {
		bool is_answered = ask(request, "GET", path, ANSWER_PATIENCE_S, &answer, &err);
		if (is_answered && answer.status == 200) {
			http_answer_done(&answer);
			return EXIT_SUCCESS;
		}
		if (clock_now_us() > until_us)
			return is_answered ? fail_with(&answer) : fail(&err);
		if (is_answered)
			http_answer_done(&answer);
		sleep_ms(request->is_upstream && is_answered ? UPSTREAM_POLL_MS : POLL_MS);
	}
}
