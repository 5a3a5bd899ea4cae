#include "ssh/session_internal.h"

#include "base/text.h"
#include "config/bastion.h"
#include "ssh/login_memory.h"
#include "ssh/no_common.h"
#include "ssh/server_offer.h"

#include <stdio.h>
#include <string.h>

/* Why a session ended: what libssh2, a timer or the stream below know, in words that help. */

enum { SAID_SIZE = 80 }; /* what is shown of a server's words */

struct wire_span
ssh_session_greeting(const struct ssh_session *session)
{
	return (struct wire_span){
		.bytes = buffer_head(&session->greeting),
		.length = buffer_length(&session->greeting),
	};
}

/* libssh2 shows each line that comes before the version as if it were one. */
bool
ssh_session_has_version(const struct ssh_session *session)
{
	const char *line = libssh2_session_banner_get(session->ssh);

	return line != NULL && strncmp(line, "SSH-", 4) == 0;
}

/* The server's version, or what it said instead; escaped. False: it said something else. */
static bool
show_version(const struct ssh_session *session, char *out, size_t size)
{
	struct wire_span greeting = ssh_session_greeting(session);
	struct wire_span line;
	char text[SAID_SIZE];
	bool is_ssh = server_offer_find_version(greeting.bytes, greeting.length, &line);

	(void)snprintf(text, sizeof text, "%.*s",
		       (int)(line.length < sizeof text ? line.length : sizeof text - 1),
		       (const char *)line.bytes);
	(void)text_escape(out, size, text);
	return is_ssh || greeting.length == 0;
}

/* What sshd says in plain words to those whom it does not greet. */
static const struct {
	const char *said;
	const char *meaning;
	bool is_shut_out; /* whoever comes again soon is not wanted either */
} farewells[] = {
	{"Exceeded MaxStartups",
	 "more logins are under way there than its MaxStartups allows; it is tried again", false},
	{"Not allowed at this time",
	 "it shuts this address out for a while, for logins that failed (PerSourcePenalties)",
	 true},
};

/* What else may listen where an SSH server was looked for: the cache itself. */
static const struct {
	const char *beginning;
	const char *hint;
} protocols[] = {
	{"\x15\x03", "that is TLS, which a cache's port speaks; SSH's port is mostly 22"},
	{"\x16\x03", "that is TLS, which a cache's port speaks; SSH's port is mostly 22"},
	{"-ERR ", "that is Redis, and no bastion; SSH's port is mostly 22"},
	{"-NOAUTH ", "that is Redis, and no bastion; SSH's port is mostly 22"},
	{"-DENIED ", "that is Redis, and no bastion; SSH's port is mostly 22"},
};

static const char *
hint_of(struct wire_span greeting)
{
	for (size_t i = 0; i < ARRAY_LENGTH(protocols); i++) {
		size_t length = strlen(protocols[i].beginning);
		if (greeting.length >= length &&
		    memcmp(greeting.bytes, protocols[i].beginning, length) == 0)
			return protocols[i].hint;
	}
	return "is the port right?";
}

static bool
is_explained_as_turned_away(struct ssh_session *session, const char *said)
{
	for (size_t i = 0; i < ARRAY_LENGTH(farewells); i++) {
		if (strcmp(said, farewells[i].said) != 0)
			continue;
		(void)err_set(&session->why, "the bastion said '%s': %s", said,
			      farewells[i].meaning);
		(void)err_mark(&session->why, ERR_DISCONNECTED);
		session->is_shut_out = farewells[i].is_shut_out;
		return true;
	}
	return false;
}

/* RFC 4253, 5.1: 1.99 is the version of those who speak 2.0, too. */
static bool
is_explained_as_too_old(struct ssh_session *session, const char *version)
{
	if (strncmp(version, "SSH-1.", 6) != 0 || strncmp(version, "SSH-1.99-", 9) == 0)
		return false;
	(void)err_set(&session->why,
		      "what answers is '%s', and only SSH 2 is spoken here; its "
		      "configuration may say 'Protocol 1'",
		      version);
	(void)err_mark(&session->why, ERR_SSH_PROTOCOL);
	return true;
}

static bool
is_explained_by_words(struct ssh_session *session)
{
	char said[SAID_SIZE];

	if (show_version(session, said, sizeof said))
		return is_explained_as_too_old(session, said);
	if (is_explained_as_turned_away(session, said))
		return true;
	(void)err_set(&session->why, "what answers is no SSH server: it said '%s'; %s", said,
		      hint_of(ssh_session_greeting(session)));
	(void)err_mark(&session->why, ERR_SSH_PROTOCOL);
	return true;
}

/* What a way that ended before a word was said may mean. */
static const char *
hint_of_silence(const struct bastion *bastion)
{
	if (bastion->options.proxy_command != NULL)
		return "before a word of SSH was said";
	if (bastion->options.port == 22)
		return "before a word was said; does it shut this address out (fail2ban, "
		       "hosts.deny, MaxStartups)?";
	return "during the SSH handshake, before a word was said, as where TLS is spoken (SSH's "
	       "port is mostly 22)";
}

void
ssh_explain_lower_end(struct ssh_session *session)
{
	if (session->state == SSH_SESSION_LOGIN)
		(void)err_wrap(&session->why, "during the login");
	else if (session->state == SSH_SESSION_GREETING && !is_explained_by_words(session))
		(void)err_wrap(&session->why, "%s",
			       ssh_session_greeting(session).length > 0
				       ? "during the SSH handshake"
				       : hint_of_silence(session->request.bastion));
}

void
ssh_explain_failed_greeting(struct ssh_session *session, int result)
{
	char version[SAID_SIZE];
	char *text = NULL;

	/* Its text is sticky, so it is good right after a failure only. */
	(void)libssh2_session_last_error(session->ssh, &text, NULL, 0);
	if (is_explained_by_words(session))
		return;
	(void)show_version(session, version, sizeof version);
	if (result == LIBSSH2_ERROR_KEX_FAILURE || result == LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE)
		no_common_explain(session->request.bastion, session->ssh,
				  ssh_session_greeting(session), version, &session->why);
	else
		(void)err_set(&session->why, "the SSH handshake failed: %s (libssh2 error %d)",
			      text != NULL && text[0] != '\0' ? text : "no reason given", result);
}

void
ssh_explain_broken(struct ssh_session *session, int result)
{
	char *text = NULL;

	(void)libssh2_session_last_error(session->ssh, &text, NULL, 0);
	if (session->farewell[0] != '\0')
		(void)err_set(&session->why, "the bastion ended it: '%s'", session->farewell);
	else
		(void)err_set(&session->why,
			      "what the bastion sent makes no sense: %s (libssh2 error %d)",
			      text != NULL && text[0] != '\0' ? text : "no reason given", result);
	(void)err_mark(&session->why, ERR_DISCONNECTED);
}

/* What a server says that is none may tell which one it is. */
static void
explain_missing_version(struct ssh_session *session, int timeout_s)
{
	char said[SAID_SIZE];
	bool said_other = !show_version(session, said, sizeof said);

	(void)err_set(&session->why,
		      "nothing that looks like SSH came within %d s (TIMEOUTbanner)%s%s%s; %s",
		      timeout_s, said_other ? ", but '" : "", said_other ? said : "",
		      said_other ? "'" : "", hint_of(ssh_session_greeting(session)));
}

void
ssh_explain_timeout(struct ssh_session *session)
{
	const struct bastion_options *options = &session->request.bastion->options;

	if (session->state == SSH_SESSION_READY)
		(void)err_set(&session->why,
			      "the bastion gave no sign of life for %d times %g s (aliveCount, "
			      "aliveInterval)",
			      options->alive_count, options->alive_interval_ms / 1000.0);
	else if (session->state == SSH_SESSION_LOGIN)
		(void)err_set(&session->why, "the login took more than %d s (TIMEOUTlogin)",
			      options->timeout_login_s);
	else if (ssh_session_has_version(session))
		(void)err_set(&session->why, "the key exchange took more than %d s (TIMEOUTkex)",
			      options->timeout_key_exchange_s);
	else
		explain_missing_version(session, options->timeout_banner_s);
	(void)err_mark(&session->why, ERR_TIMEOUT);
}
