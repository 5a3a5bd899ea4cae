#ifndef CACHETUNNEL_SSH_LOGIN_INTERNAL_H
#define CACHETUNNEL_SSH_LOGIN_INTERNAL_H

#include "ssh/private_key.h"
#include "ssh/session_internal.h"

/*
 * What login.c and the ways to log in share, and nobody else: login_file.c, login_agent.c and
 * login_password.c. login.c owns the struct and decides about the order; a way takes one step, and
 * says by login_go_to() that it has no more to offer.
 */

/* One after the other, until one is accepted, each where the server offers it. */
enum login_way {
	LOGIN_ASK_METHODS,
	LOGIN_FILES,
	LOGIN_LIST_AGENT,
	LOGIN_AGENT,
	LOGIN_PASSWORD,
	LOGIN_KEYBOARD, /* the password once more, as the answer to a question */
	LOGIN_OUT_OF_WAYS,
};

enum agent_answer {
	AGENT_IDLE,
	AGENT_ASKED,
	AGENT_ANSWERED,
	AGENT_REFUSED,
};

enum { TRIED_SIZE = 320, TRIED_KEY_SIZE = 160, METHODS_SIZE = 128 };

struct ssh_login {
	struct ssh_session *session;               /* borrowed */
	const struct ssh_credentials *credentials; /* borrowed */
	const char *user;                          /* borrowed from the credentials */
	enum login_way way;
	bool is_by_memory;           /* begins with what was accepted the last time */
	bool needs_person;           /* somebody seems to have been asked */
	size_t index;                /* of the key file or the agent's key being tried */
	enum rsa_signature rsa;      /* how RSA keys sign for this server */
	bool is_certificate_refused; /* of the key file being tried */
	bool has_signed;             /* with the key being tried, so the server knows it */
	enum login_way resumed_way;  /* where to go on with keys after the question for methods */
	size_t resumed_index;
	unsigned attempt;    /* counted up with each key and each way */
	unsigned char *blob; /* owned; the public key being tried, kept over retries */
	size_t blob_length;

	struct agent *agent;                     /* owned */
	const struct agent_identity *identities; /* borrowed from the agent */
	size_t *agent_keys;                      /* owned; which of them to try, in this order */
	size_t agent_key_count;
	enum agent_answer agent_answer;
	uint64_t asked_us;        /* when the agent was asked for a signature */
	unsigned char *signature; /* owned; what the agent signed */
	size_t signature_length;

	char methods[METHODS_SIZE];    /* that the server offers */
	char tried[TRIED_SIZE];        /* for the message that nothing helped */
	char trying[TRIED_KEY_SIZE];   /* the last of these */
	char accepted[TRIED_KEY_SIZE]; /* a key that was not enough; empty: none */
	char passed_over
		[TRIED_KEY_SIZE]; /* keys of the agent that libssh2 cannot use; empty: none */
};

/* login.c */

/* The next way, from its first key on. */
void login_go_to(struct ssh_login *login, enum login_way way);

/* The next key, or the same one otherwise: what was kept for the attempt goes. */
void login_forget_key(struct ssh_login *login);

/* The one of the agent's keys that is being tried. */
const struct agent_identity *login_agent_key(const struct ssh_login *login);

/* For the message that nothing helped. */
void login_note_tried(struct ssh_login *login, const char *what, const char *which);

bool login_is_offered(const struct ssh_login *login, const char *method);

/* Handles libssh2's answer to one attempt. True: it was refused, go on with the next. False:
 * `ret_result` is the step's result. */
bool login_is_refused(struct ssh_login *login, int answer, enum stream_result *ret_result,
		      struct err *err);

/* After a refusal: whether it came after the signature, which a server asks for only with a key that
 * it takes. Then it wants more than the key (AuthenticationMethods), and is asked what. */
bool login_is_partial(struct ssh_login *login);

/* The ways. Each takes one step: STREAM_OK logged in, STREAM_AGAIN waits or goes on with the next
 * attempt, else `err` says why not. */
enum stream_result login_try_file(struct ssh_login *login, struct err *err);
enum stream_result login_list_agent(struct ssh_login *login, struct err *err);
enum stream_result login_try_agent(struct ssh_login *login, struct err *err);
enum stream_result login_try_password(struct ssh_login *login, struct err *err);
enum stream_result login_try_keyboard(struct ssh_login *login, struct err *err);

#endif
