#include "ssh/login_internal.h"

#include "base/clock.h"
#include "ssh/agent.h"
#include "ssh/credentials.h"
#include "ssh/host_key.h"
#include "ssh/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The agent's keys: first those that identityFile names, in the order of the files, and then the
 * others in the agent's, as ssh does. Servers allow few attempts, and an agent may have many keys. */

enum {
	AGENT_TIMEOUT_S = 25,
	/* No machine takes that long to sign: a person was asked, or has touched a token. */
	PERSON_US = 1500 * 1000,
};

const struct agent_identity *
login_agent_key(const struct ssh_login *login)
{
	return &login->identities[login->agent_keys[login->index]];
}

/* Hardware-backed keys and certificates have signatures that libssh2 cannot pass on. */
static bool
is_usable(const struct agent_identity *identity)
{
	return host_key_type(
		       (struct host_key){.blob = identity->blob, .length = identity->length}) != 0;
}

static void
pass_over(struct ssh_login *login, const struct agent_identity *identity)
{
	struct host_key key = {.blob = identity->blob, .length = identity->length};
	size_t length = strlen(login->passed_over);
	char algorithm[HOST_KEY_ALGORITHM_SIZE];

	(void)snprintf(login->passed_over + length, sizeof login->passed_over - length, "%s%s %s",
		       length > 0 ? ", " : "", host_key_algorithm(key, algorithm, sizeof algorithm),
		       identity->comment);
}

static size_t
place_of(const struct ssh_login *login, size_t key)
{
	const struct agent_identity *identity = &login->identities[key];

	return ssh_credentials_find_public(login->credentials, identity->blob, identity->length);
}

/* Behind those of the same place, so that their order stays. */
static void
insert_key(struct ssh_login *login, size_t key)
{
	size_t place = place_of(login, key);
	size_t at = login->agent_key_count++;

	for (; at > 0 && place_of(login, login->agent_keys[at - 1]) > place; at--)
		login->agent_keys[at] = login->agent_keys[at - 1];
	login->agent_keys[at] = key;
}

static void
choose_keys(struct ssh_login *login, size_t count)
{
	free(login->agent_keys);
	login->agent_key_count = 0;
	login->agent_keys = calloc(count + 1, sizeof *login->agent_keys);
	login->passed_over[0] = '\0';
	for (size_t i = 0; login->agent_keys != NULL && i < count; i++) {
		const struct agent_identity *identity = &login->identities[i];
		if (!ssh_credentials_allow(login->credentials, identity->blob, identity->length))
			continue;
		if (is_usable(identity))
			insert_key(login, i);
		else
			pass_over(login, identity);
	}
}

/* Once, and not at each login that begins with what was accepted the last time. */
static void
tell_passed_over(const struct ssh_login *login)
{
	if (login->passed_over[0] != '\0' && !login->is_by_memory)
		log_write(login->session->request.log, LOG_LEVEL_INFO,
			  "bastion '%s': keys in hardware and certificates of an agent cannot be "
			  "used: %s",
			  login->session->request.bastion->name, login->passed_over);
}

static void
on_agent_list(void *arg, const struct agent_identity *identities, size_t count,
	      const struct err *err)
{
	struct ssh_login *login = arg;

	login->agent_answer = err == NULL ? AGENT_ANSWERED : AGENT_REFUSED;
	login->identities = identities;
	choose_keys(login, err == NULL ? count : 0);
	if (err != NULL)
		log_write(login->session->request.log, LOG_LEVEL_WARNING, "%s", err->text);
	else
		tell_passed_over(login);
	ssh_session_go_on_later(login->session);
}

enum stream_result
login_list_agent(struct ssh_login *login, struct err *err)
{
	const char *path = ssh_credentials_agent(login->credentials);

	switch (login->agent_answer) {
	case AGENT_IDLE:
		if (path == NULL) {
			login_go_to(login, LOGIN_PASSWORD);
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
		login_go_to(login, LOGIN_AGENT);
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
	login->needs_person = clock_now_us() - login->asked_us >= PERSON_US;
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
		login->asked_us = clock_now_us();
		agent_start_sign(login->agent, login->agent_keys[login->index], data, length,
				 agent_flags(login), AGENT_TIMEOUT_S, on_agent_signature, login);
		return LIBSSH2_ERROR_EAGAIN;
	case AGENT_ASKED:
		return LIBSSH2_ERROR_EAGAIN;
	case AGENT_ANSWERED:
		*ret_signature = login->signature;
		*ret_length = login->signature_length;
		login->signature = NULL;
		login->has_signed = true;
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

static bool
is_rsa(const struct agent_identity *identity)
{
	struct host_key key = {.blob = identity->blob, .length = identity->length};

	return host_key_type(key) == HOST_KEY_RSA;
}

enum stream_result
login_try_agent(struct ssh_login *login, struct err *err)
{
	enum stream_result result;
	void *abstract = login;

	if (login->index >= login->agent_key_count) {
		login_go_to(login, LOGIN_PASSWORD);
		return STREAM_AGAIN;
	}
	const struct agent_identity *identity = login_agent_key(login);
	if (login->blob == NULL) {
		login_note_tried(login,
				 is_rsa(identity) && login->rsa == RSA_SIGNATURE_SHA1
					 ? "RSA with SHA-1 only, by the agent's"
					 : "the agent's",
				 identity->comment);
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
	if (!login_is_refused(login, answer, &result, err))
		return result;
	if (login_is_partial(login))
		return STREAM_AGAIN;
	login_forget_key(login);
	login->index++;
	return STREAM_AGAIN;
}
