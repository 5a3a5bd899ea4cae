#include "ssh/login_internal.h"

#include "base/text.h"
#include "config/bastion.h"
#include "ssh/agent.h"
#include "ssh/credentials.h"
#include "ssh/login_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* OpenSSH takes an RSA key by the name of its SHA-2 signature, since 7.2; others want the plain
 * name, and SHA-1. libssh2 1.10 says whichever name the key's blob begins with. Only one of the
 * two is offered: a second attempt for each refused key would count, and servers allow few. */
static enum rsa_signature
find_rsa_signature(const struct ssh_session *session)
{
	const char *banner = libssh2_session_banner_get(session->ssh);
	const char *openssh = banner != NULL ? strstr(banner, "OpenSSH_") : NULL;

	/* "OpenSSH_9.2p1", "OpenSSH_for_Windows_9.5" */
	if (openssh != NULL)
		openssh += strcspn(openssh, "0123456789");
	return openssh != NULL && strtod(openssh, NULL) >= 7.2 ? RSA_SIGNATURE_SHA2_512
							       : RSA_SIGNATURE_SHA1;
}

/* Begins where the last login ended. */
static void
begin_by_memory(struct ssh_login *login)
{
	const struct ssh_login_memory *memory = login->session->request.memory;

	if (!memory->is_set)
		return;
	login->is_by_memory = true;
	login->way = memory->was_by_agent ? LOGIN_LIST_AGENT : LOGIN_FILES;
	login->index = memory->index;
	login->is_certificate_refused = memory->is_certificate_refused;
}

/* What was accepted the last time is so no more: begins at the beginning. */
static void
begin_anew(struct ssh_login *login)
{
	login->session->request.memory->is_set = false;
	login->is_by_memory = false;
	login->is_certificate_refused = false;
	login->resumed_way = LOGIN_FILES;
	login->resumed_index = 0;
	login->tried[0] = '\0';
	agent_free(login->agent); /* its turn comes again */
	login->agent = NULL;
	login->identities = NULL;
	login->agent_key_count = 0;
	login_go_to(login, LOGIN_ASK_METHODS);
}

/* A step has ended an attempt, or led to the next way. */
static void
go_on_by_memory(struct ssh_login *login, enum login_way from)
{
	size_t index = login->session->request.memory->index;

	if (from == LOGIN_LIST_AGENT && login->way == LOGIN_AGENT && index < login->agent_key_count)
		login->index = index;
	else
		begin_anew(login);
}

static void
remember(const struct ssh_login *login)
{
	bool is_by_key = login->way == LOGIN_FILES || login->way == LOGIN_AGENT;

	*login->session->request.memory = (struct ssh_login_memory){
		.seen_host_keys = login->session->request.memory->seen_host_keys,
		.is_set = is_by_key,
		.was_by_agent = login->way == LOGIN_AGENT,
		.index = login->index,
		.is_certificate_refused = login->is_certificate_refused,
	};
}

struct ssh_login *
ssh_login_new(struct ssh_session *session)
{
	struct ssh_login *login = calloc(1, sizeof *login);

	if (login == NULL)
		return NULL;
	login->session = session;
	login->credentials = session->request.credentials;
	login->rsa = find_rsa_signature(session);
	login->resumed_way = LOGIN_FILES;
	login->user = ssh_credentials_user(login->credentials);
	begin_by_memory(login);
	return login;
}

void
login_forget_key(struct ssh_login *login)
{
	free(login->blob);
	login->blob = NULL;
	free(login->signature);
	login->signature = NULL;
	login->agent_answer = AGENT_IDLE;
	login->has_signed = false;
	login->attempt++;
}

void
ssh_login_free(struct ssh_login *login)
{
	if (login == NULL)
		return;
	login_forget_key(login);
	agent_free(login->agent);
	free(login->agent_keys);
	free(login);
}

void
login_note_tried(struct ssh_login *login, const char *what, const char *which)
{
	size_t length = strlen(login->tried);

	(void)snprintf(login->trying, sizeof login->trying, "%s %s", what, which);
	(void)snprintf(login->tried + length, sizeof login->tried - length, "%s%s",
		       length > 0 ? ", " : "", login->trying);
}

void
login_go_to(struct ssh_login *login, enum login_way way)
{
	login_forget_key(login);
	login->way = way;
	login->index = 0;
}

bool
login_is_offered(const struct ssh_login *login, const char *method)
{
	return strstr(login->methods, method) != NULL;
}

static enum stream_result
ask_methods(struct ssh_login *login, struct err *err)
{
	LIBSSH2_SESSION *ssh = login->session->ssh;
	const char *methods = libssh2_userauth_list(ssh, login->user,
						    (unsigned)strlen(login->user));

	if (methods == NULL && libssh2_userauth_authenticated(ssh))
		return STREAM_OK; /* the server asks for nothing */
	if (methods == NULL && libssh2_session_last_errno(ssh) == LIBSSH2_ERROR_EAGAIN)
		return STREAM_AGAIN;
	if (methods == NULL) {
		(void)err_set(err, "the server ended the login as '%s' before it began",
			      login->user);
		return STREAM_FAILED;
	}
	(void)text_escape(login->methods, sizeof login->methods, methods);
	if (login_is_offered(login, "publickey")) {
		login_go_to(login, login->resumed_way);
		login->index = login->resumed_index;
	} else {
		login_go_to(login, LOGIN_PASSWORD);
	}
	return STREAM_AGAIN;
}

bool
login_is_partial(struct ssh_login *login)
{
	if (!login->has_signed)
		return false;
	memcpy(login->accepted, login->trying, sizeof login->accepted);
	login->resumed_way = login->way;
	login->resumed_index = login->index + 1;
	login_go_to(login, LOGIN_ASK_METHODS);
	return true;
}

bool
login_is_refused(struct ssh_login *login, int answer, enum stream_result *ret_result,
		 struct err *err)
{
	char *text = NULL;

	*ret_result = STREAM_AGAIN;
	if (answer == 0) {
		*ret_result = STREAM_OK;
		return false;
	}
	if (answer == LIBSSH2_ERROR_EAGAIN)
		return false;
	bool has_left = login->session->farewell[0] != '\0';
	if (!has_left && (answer == LIBSSH2_ERROR_AUTHENTICATION_FAILED ||
			  answer == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED))
		return true;
	(void)libssh2_session_last_error(login->session->ssh, &text, NULL, 0);
	(void)err_set(err,
		      "the login as '%s' broke off: %s; the server may allow fewer attempts "
		      "(MaxAuthTries) than there are keys; tried: %s",
		      login->user,
		      has_left       ? login->session->farewell
		      : text != NULL ? text
				     : "no reason given",
		      login->tried);
	*ret_result = STREAM_FAILED;
	return false;
}

static enum stream_result
give_up(const struct ssh_login *login, struct err *err)
{
	if (login->accepted[0] != '\0') {
		(void)err_set(err,
			      "the login as '%s' was refused: the server took %s, and either "
			      "wants more than that (AuthenticationMethods; it offers %s, so write "
			      "passwordFile), or does not let this user in (PermitRootLogin, "
			      "AllowUsers, an account that has expired)",
			      login->user, login->accepted, login->methods);
		return STREAM_FAILED;
	}
	const char *tried = login->tried[0] != '\0'
				    ? login->tried
				    : "nothing, as there was no key, agent or password";
	(void)err_set(err,
		      "the login as '%s' was refused; the server offers %s; tried: %s%s%s; is the "
		      "user right, and the key in its authorized_keys?",
		      login->user, login->methods, tried,
		      login->passed_over[0] != '\0' ? "; passed over, as keys in hardware and "
						      "certificates of an agent cannot be used: "
						    : "",
		      login->passed_over);
	return STREAM_FAILED;
}

static enum stream_result
step_once(struct ssh_login *login, struct err *err)
{
	switch (login->way) {
	case LOGIN_ASK_METHODS:
		return ask_methods(login, err);
	case LOGIN_FILES:
		return login_try_file(login, err);
	case LOGIN_LIST_AGENT:
		return login_list_agent(login, err);
	case LOGIN_AGENT:
		return login_try_agent(login, err);
	case LOGIN_PASSWORD:
		return login_try_password(login, err);
	case LOGIN_KEYBOARD:
		return login_try_keyboard(login, err);
	case LOGIN_OUT_OF_WAYS:
		return give_up(login, err);
	}
	return STREAM_FAILED;
}

bool
ssh_login_needs_person(const struct ssh_login *login)
{
	/* Questions may be for one-time codes, and answers wait for a telephone. */
	return login->needs_person || login->way == LOGIN_KEYBOARD;
}

char *
ssh_login_describe(const struct ssh_login *login, char *out, size_t size)
{
	const struct ssh_identity *identity;
	char how[128] = "the password of passwordFile";

	switch (login->way) {
	case LOGIN_ASK_METHODS:
		(void)snprintf(how, sizeof how, "nothing at all, as the server asks for nothing");
		break;
	case LOGIN_FILES:
		identity = ssh_credentials_get(login->credentials, login->index);
		(void)snprintf(how, sizeof how, "%s %s", private_key_algorithm(identity->key),
			       identity->path);
		break;
	case LOGIN_AGENT:
		(void)snprintf(how, sizeof how, "the agent's %s", login_agent_key(login)->comment);
		break;
	case LOGIN_LIST_AGENT:
	case LOGIN_PASSWORD:
	case LOGIN_KEYBOARD:
	case LOGIN_OUT_OF_WAYS:
		break;
	}
	(void)snprintf(out, size, "'%s' by %s", login->user, how);
	return out;
}

enum stream_result
ssh_login_step(struct ssh_login *login, struct err *err)
{
	/* "Again" may mean the next way or the next key, which need no answer to begin. */
	for (;;) {
		unsigned attempt = login->attempt;
		enum login_way way = login->way;
		enum stream_result result = step_once(login, err);
		if (result == STREAM_OK)
			remember(login);
		else if (result != STREAM_AGAIN)
			login->session->request.memory->is_set = false;
		if (result != STREAM_AGAIN || login->attempt == attempt)
			return result;
		if (login->is_by_memory)
			go_on_by_memory(login, way);
	}
}
