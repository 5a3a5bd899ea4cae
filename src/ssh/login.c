#include "ssh/session_internal.h"

#include "base/text.h"
#include "config/bastion.h"
#include "ssh/agent.h"
#include "ssh/credentials.h"
#include "ssh/host_key.h"
#include "ssh/private_key.h"
#include "ssh/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * One way to log in after the other, until one is accepted: the key files in their order, the
 * agent's keys, the password, and the password once more as the answer to a question
 * (keyboard-interactive), each where the server offers it.
 */

enum login_way {
	LOGIN_ASK_METHODS,
	LOGIN_FILES,
	LOGIN_LIST_AGENT,
	LOGIN_AGENT,
	LOGIN_PASSWORD,
	LOGIN_KEYBOARD,
	LOGIN_OUT_OF_WAYS,
};

enum agent_answer {
	AGENT_IDLE,
	AGENT_ASKED,
	AGENT_ANSWERED,
	AGENT_REFUSED,
};

enum { TRIED_SIZE = 320, METHODS_SIZE = 128, AGENT_TIMEOUT_S = 25 };

struct ssh_login {
	struct ssh_session *session;               /* borrowed */
	const struct ssh_credentials *credentials; /* borrowed */
	const char *user;                          /* borrowed from the credentials */
	enum login_way way;
	size_t index;                /* of the key file or the agent's key being tried */
	enum rsa_signature rsa;      /* how RSA keys sign now */
	bool is_certificate_refused; /* of the key file being tried */
	unsigned attempt;            /* counted up with each key and each way */
	unsigned char *blob;         /* owned; the public key being tried, kept over retries */
	size_t blob_length;

	struct agent *agent;                     /* owned */
	const struct agent_identity *identities; /* borrowed from the agent */
	size_t identity_count;
	enum agent_answer agent_answer;
	unsigned char *signature; /* owned; what the agent signed */
	size_t signature_length;

	char methods[METHODS_SIZE]; /* that the server offers */
	char tried[TRIED_SIZE];     /* for the message that nothing helped */
};

/* OpenSSH takes an RSA key by the name of its SHA-2 signature, since 7.2; others want the plain
 * name, and SHA-1. libssh2 1.10 says whichever name the key's blob begins with. */
static enum rsa_signature
first_rsa_signature(LIBSSH2_SESSION *ssh)
{
	const char *banner = libssh2_session_banner_get(ssh);
	const char *openssh = banner != NULL ? strstr(banner, "OpenSSH_") : NULL;

	return openssh != NULL && strtod(openssh + strlen("OpenSSH_"), NULL) >= 7.2
		       ? RSA_SIGNATURE_SHA2_512
		       : RSA_SIGNATURE_SHA1;
}

struct ssh_login *
ssh_login_new(struct ssh_session *session)
{
	struct ssh_login *login = calloc(1, sizeof *login);

	if (login == NULL)
		return NULL;
	login->session = session;
	login->credentials = session->request.credentials;
	login->rsa = first_rsa_signature(session->ssh);
	login->user = ssh_credentials_user(login->credentials);
	return login;
}

static void
forget_key(struct ssh_login *login)
{
	free(login->blob);
	login->blob = NULL;
	free(login->signature);
	login->signature = NULL;
	login->agent_answer = AGENT_IDLE;
	login->attempt++;
}

void
ssh_login_free(struct ssh_login *login)
{
	if (login == NULL)
		return;
	forget_key(login);
	agent_free(login->agent);
	free(login);
}

static void
note_tried(struct ssh_login *login, const char *what, const char *which)
{
	size_t length = strlen(login->tried);

	(void)snprintf(login->tried + length, sizeof login->tried - length, "%s%s %s",
		       length > 0 ? ", " : "", what, which);
}

static void
go_to(struct ssh_login *login, enum login_way way)
{
	forget_key(login);
	login->way = way;
	login->index = 0;
}

static bool
is_offered(const struct ssh_login *login, const char *method)
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
	go_to(login, is_offered(login, "publickey") ? LOGIN_FILES : LOGIN_PASSWORD);
	return STREAM_AGAIN;
}

/* libssh2 asks for a signature with a key file. */
static int
sign_by_file(LIBSSH2_SESSION *ssh ATTR_UNUSED, unsigned char **ret_signature, size_t *ret_length,
	     const unsigned char *data, size_t length, void **abstract)
{
	struct ssh_login *login = *abstract;
	const struct ssh_identity *identity = ssh_credentials_get(login->credentials, login->index);
	struct err err;

	*ret_signature = private_key_sign(identity->key, login->rsa, data, length, ret_length,
					  &err);
	if (*ret_signature != NULL)
		return 0;
	log_write(login->session->request.log, LOG_LEVEL_ERROR, "key '%s': %s", identity->path,
		  err.text);
	return -1;
}

/* Handles the answer to one attempt: accepted, wait, or the next one (true: go on there). */
static bool
is_settled(struct ssh_login *login, int result, enum stream_result *ret_result, struct err *err)
{
	char *text = NULL;

	*ret_result = STREAM_AGAIN;
	if (result == 0) {
		*ret_result = STREAM_OK;
		return false;
	}
	if (result == LIBSSH2_ERROR_EAGAIN)
		return false;
	bool has_left = login->session->farewell[0] != '\0';
	if (!has_left && (result == LIBSSH2_ERROR_AUTHENTICATION_FAILED ||
			  result == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED))
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
try_file(struct ssh_login *login, struct err *err)
{
	enum stream_result result;
	void *abstract = login;

	if (login->index >= ssh_credentials_count(login->credentials)) {
		go_to(login, LOGIN_LIST_AGENT);
		return STREAM_AGAIN;
	}
	const struct ssh_identity *identity = ssh_credentials_get(login->credentials, login->index);
	bool is_certificate = private_key_has_certificate(identity->key) &&
			      !login->is_certificate_refused;
	if (login->blob == NULL) {
		note_tried(login, private_key_algorithm(identity->key), identity->path);
		login->blob = is_certificate ? private_key_certificate_blob(identity->key,
									    &login->blob_length)
					     : private_key_public_blob(identity->key, login->rsa,
								       &login->blob_length);
	}
	int answer = libssh2_userauth_publickey(login->session->ssh, login->user, login->blob,
						login->blob_length, sign_by_file, &abstract);
	if (!is_settled(login, answer, &result, err))
		return result;
	forget_key(login);
	if (is_certificate) {
		login->is_certificate_refused = true; /* the key alone may do */
		return STREAM_AGAIN;
	}
	login->is_certificate_refused = false;
	/* A server that is no OpenSSH may call itself one and still want the old signature. */
	if (private_key_is_rsa(identity->key) && login->rsa != RSA_SIGNATURE_SHA1) {
		login->rsa = RSA_SIGNATURE_SHA1;
		return STREAM_AGAIN;
	}
	login->rsa = first_rsa_signature(login->session->ssh);
	login->index++;
	return STREAM_AGAIN;
}

static void
on_agent_list(void *arg, const struct agent_identity *identities, size_t count,
	      const struct err *err)
{
	struct ssh_login *login = arg;

	login->agent_answer = err == NULL ? AGENT_ANSWERED : AGENT_REFUSED;
	login->identities = identities;
	login->identity_count = err == NULL ? count : 0;
	if (err != NULL)
		log_write(login->session->request.log, LOG_LEVEL_WARNING, "%s", err->text);
	ssh_session_go_on_later(login->session);
}

static enum stream_result
list_agent(struct ssh_login *login, struct err *err)
{
	const char *path = ssh_credentials_agent(login->credentials);

	switch (login->agent_answer) {
	case AGENT_IDLE:
		if (path == NULL) {
			go_to(login, LOGIN_PASSWORD);
			return STREAM_AGAIN;
		}
		login->agent = agent_new(login->session->request.base, path);
		if (login->agent == NULL) {
			(void)err_set(err, "out of memory");
			return STREAM_FAILED;
		}
		login->agent_answer = AGENT_ASKED;
		agent_start_list(login->agent, AGENT_TIMEOUT_S, on_agent_list, login);
		return STREAM_AGAIN;
	case AGENT_ASKED:
		return STREAM_AGAIN;
	case AGENT_ANSWERED:
	case AGENT_REFUSED:
		go_to(login, LOGIN_AGENT);
		return STREAM_AGAIN;
	}
	return STREAM_AGAIN;
}

/* The agent wraps a signature with its algorithm's name; libssh2 adds that itself. */
static void
on_agent_signature(void *arg, const unsigned char *signature, size_t length, const struct err *err)
{
	struct ssh_login *login = arg;
	struct wire_span whole = {.bytes = signature, .length = length};
	struct wire_span name;
	struct wire_span inner;

	login->agent_answer = AGENT_REFUSED;
	if (err != NULL) {
		log_write(login->session->request.log, LOG_LEVEL_WARNING, "%s", err->text);
	} else if (wire_read_string(&whole, &name) && wire_read_string(&whole, &inner)) {
		login->signature = malloc(inner.length + 1);
		if (login->signature != NULL) {
			memcpy(login->signature, inner.bytes, inner.length);
			login->signature_length = inner.length;
			login->agent_answer = AGENT_ANSWERED;
		}
	}
	ssh_session_go_on_later(login->session);
}

static unsigned
agent_flags(const struct ssh_login *login)
{
	return login->rsa == RSA_SIGNATURE_SHA2_512   ? AGENT_SIGN_RSA_SHA2_512
	       : login->rsa == RSA_SIGNATURE_SHA2_256 ? AGENT_SIGN_RSA_SHA2_256
						      : 0;
}

/* libssh2 asks for a signature by the agent; "again" makes it ask once more later. */
static int
sign_by_agent(LIBSSH2_SESSION *ssh ATTR_UNUSED, unsigned char **ret_signature, size_t *ret_length,
	      const unsigned char *data, size_t length, void **abstract)
{
	struct ssh_login *login = *abstract;

	switch (login->agent_answer) {
	case AGENT_IDLE:
		login->agent_answer = AGENT_ASKED;
		agent_start_sign(login->agent, login->index, data, length, agent_flags(login),
				 AGENT_TIMEOUT_S, on_agent_signature, login);
		return LIBSSH2_ERROR_EAGAIN;
	case AGENT_ASKED:
		return LIBSSH2_ERROR_EAGAIN;
	case AGENT_ANSWERED:
		*ret_signature = login->signature;
		*ret_length = login->signature_length;
		login->signature = NULL;
		return 0;
	case AGENT_REFUSED:
		return -1;
	}
	return -1;
}

/* The key under the name that its signature will have; NULL: no memory, or no key for us. */
static unsigned char *
agent_blob(const struct ssh_login *login, const struct agent_identity *identity, size_t *ret_length)
{
	static const char *const rsa_names[] = {
		[RSA_SIGNATURE_SHA2_512] = "rsa-sha2-512",
		[RSA_SIGNATURE_SHA2_256] = "rsa-sha2-256",
		[RSA_SIGNATURE_SHA1] = "ssh-rsa",
	};
	struct wire_span rest = {.bytes = identity->blob, .length = identity->length};
	struct wire_span name;
	struct buffer blob;

	buffer_init(&blob);
	if (!wire_read_string(&rest, &name))
		return NULL;
	bool is_rsa = wire_span_is(&name, "ssh-rsa");
	if ((is_rsa ? !wire_append_text(&blob, rsa_names[login->rsa])
		    : !wire_append_string(&blob, name.bytes, name.length)) ||
	    !buffer_append(&blob, rest.bytes, rest.length)) {
		buffer_done(&blob);
		return NULL;
	}
	*ret_length = buffer_length(&blob);
	return blob.data;
}

/* Hardware-backed keys and certificates have signatures that libssh2 cannot pass on. */
static bool
is_usable(const struct agent_identity *identity)
{
	struct host_key key = {.blob = identity->blob, .length = identity->length};

	return host_key_type(key) != 0;
}

static bool
is_rsa(const struct agent_identity *identity)
{
	struct host_key key = {.blob = identity->blob, .length = identity->length};

	return host_key_type(key) == HOST_KEY_RSA;
}

static enum stream_result
try_agent(struct ssh_login *login, struct err *err)
{
	enum stream_result result;
	void *abstract = login;

	while (login->index < login->identity_count && !is_usable(&login->identities[login->index]))
		login->index++;
	if (login->index >= login->identity_count) {
		go_to(login, LOGIN_PASSWORD);
		return STREAM_AGAIN;
	}
	const struct agent_identity *identity = &login->identities[login->index];
	if (login->blob == NULL) {
		note_tried(login, "the agent's", identity->comment);
		login->blob = agent_blob(login, identity, &login->blob_length);
		if (login->blob == NULL) {
			(void)err_set(err, "out of memory");
			return STREAM_FAILED;
		}
	}
	int answer = libssh2_userauth_publickey(login->session->ssh, login->user, login->blob,
						login->blob_length, sign_by_agent, &abstract);
	/* An agent that will not sign with this key may with the next. */
	if (answer == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED && login->agent_answer == AGENT_REFUSED)
		answer = LIBSSH2_ERROR_AUTHENTICATION_FAILED;
	if (!is_settled(login, answer, &result, err))
		return result;
	forget_key(login);
	if (is_rsa(identity) && login->rsa != RSA_SIGNATURE_SHA1) {
		login->rsa = RSA_SIGNATURE_SHA1; /* as with a file */
		return STREAM_AGAIN;
	}
	login->rsa = first_rsa_signature(login->session->ssh);
	login->index++;
	return STREAM_AGAIN;
}

static enum stream_result
try_password(struct ssh_login *login, struct err *err)
{
	const char *password = ssh_credentials_password(login->credentials);
	enum stream_result result;

	if (password == NULL || !is_offered(login, "password")) {
		go_to(login, LOGIN_KEYBOARD);
		return STREAM_AGAIN;
	}
	int answer = libssh2_userauth_password_ex(login->session->ssh, login->user,
						  (unsigned)strlen(login->user), password,
						  (unsigned)strlen(password), NULL);
	if (!is_settled(login, answer, &result, err))
		return result;
	note_tried(login, "the password of", "passwordFile");
	go_to(login, LOGIN_KEYBOARD);
	return STREAM_AGAIN;
}

/* The server asks questions; every one of them gets the password. libssh2 frees the answers. */
static void
answer_questions(const char *name ATTR_UNUSED, int name_length ATTR_UNUSED,
		 const char *instruction ATTR_UNUSED, int instruction_length ATTR_UNUSED, int count,
		 const LIBSSH2_USERAUTH_KBDINT_PROMPT *questions ATTR_UNUSED,
		 LIBSSH2_USERAUTH_KBDINT_RESPONSE *answers, void **abstract)
{
	const struct ssh_session *session = *abstract;
	const char *password = ssh_credentials_password(session->request.credentials);

	for (int i = 0; i < count; i++) {
		answers[i].text = strdup(password);
		answers[i].length = answers[i].text != NULL ? (unsigned)strlen(password) : 0;
	}
}

static enum stream_result
try_keyboard(struct ssh_login *login, struct err *err)
{
	enum stream_result result;

	if (ssh_credentials_password(login->credentials) == NULL ||
	    !is_offered(login, "keyboard-interactive")) {
		go_to(login, LOGIN_OUT_OF_WAYS);
		return STREAM_AGAIN;
	}
	int answer = libssh2_userauth_keyboard_interactive_ex(
		login->session->ssh, login->user, (unsigned)strlen(login->user), answer_questions);
	if (!is_settled(login, answer, &result, err))
		return result;
	note_tried(login, "keyboard-interactive with", "passwordFile");
	go_to(login, LOGIN_OUT_OF_WAYS);
	return STREAM_AGAIN;
}

static enum stream_result
give_up(const struct ssh_login *login, struct err *err)
{
	(void)err_set(err,
		      "the login as '%s' was refused; the server offers %s; tried: %s; is the user "
		      "right, and the key in its authorized_keys?",
		      login->user, login->methods,
		      login->tried[0] != '\0' ? login->tried
					      : "nothing, as there was no key, "
						"agent or password");
	return STREAM_FAILED;
}

static enum stream_result
step_once(struct ssh_login *login, struct err *err)
{
	switch (login->way) {
	case LOGIN_ASK_METHODS:
		return ask_methods(login, err);
	case LOGIN_FILES:
		return try_file(login, err);
	case LOGIN_LIST_AGENT:
		return list_agent(login, err);
	case LOGIN_AGENT:
		return try_agent(login, err);
	case LOGIN_PASSWORD:
		return try_password(login, err);
	case LOGIN_KEYBOARD:
		return try_keyboard(login, err);
	case LOGIN_OUT_OF_WAYS:
		return give_up(login, err);
	}
	return STREAM_FAILED;
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
		(void)snprintf(how, sizeof how, "the agent's %s",
			       login->identities[login->index].comment);
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
		enum stream_result result = step_once(login, err);
		if (result != STREAM_AGAIN || login->attempt == attempt)
			return result;
	}
}
