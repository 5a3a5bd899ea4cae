#include "ssh/login_internal.h"

#include "ssh/credentials.h"

#include <string.h>

/* The password, by itself or as the answer to the server's questions. */

enum stream_result
login_try_password(struct ssh_login *login, struct err *err)
{
	const char *password = ssh_credentials_password(login->credentials);
	enum stream_result result;

	if (password == NULL || !login_is_offered(login, "password")) {
		login_go_to(login, LOGIN_KEYBOARD);
		return STREAM_AGAIN;
	}
	int answer = libssh2_userauth_password_ex(login->session->ssh, login->user,
						  (unsigned)strlen(login->user), password,
						  (unsigned)strlen(password), NULL);
	if (!login_is_refused(login, answer, &result, err))
		return result;
	login_note_tried(login, "the password of", "passwordFile");
	login_go_to(login, LOGIN_KEYBOARD);
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

enum stream_result
login_try_keyboard(struct ssh_login *login, struct err *err)
{
	enum stream_result result;

	if (ssh_credentials_password(login->credentials) == NULL ||
	    !login_is_offered(login, "keyboard-interactive")) {
		login_go_to(login, LOGIN_OUT_OF_WAYS);
		return STREAM_AGAIN;
	}
	int answer = libssh2_userauth_keyboard_interactive_ex(
		login->session->ssh, login->user, (unsigned)strlen(login->user), answer_questions);
	if (!login_is_refused(login, answer, &result, err))
		return result;
	login_note_tried(login, "keyboard-interactive with", "passwordFile");
	login_go_to(login, LOGIN_OUT_OF_WAYS);
	return STREAM_AGAIN;
}
