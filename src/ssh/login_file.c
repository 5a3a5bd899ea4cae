#include "ssh/login_internal.h"

#include "ssh/credentials.h"

/* The key files, in their order; each by its certificate first, where it has one. */

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
	login->has_signed = *ret_signature != NULL;
	if (login->has_signed)
		return 0;
	log_write(login->session->request.log, LOG_LEVEL_ERROR, "key '%s': %s", identity->path,
		  err.text);
	return -1;
}

static void
note_tried(struct ssh_login *login, const struct ssh_identity *identity, bool is_certificate)
{
	if (is_certificate)
		login_note_tried(login, "the certificate of", identity->path);
	else if (private_key_is_rsa(identity->key) && login->rsa == RSA_SIGNATURE_SHA1)
		login_note_tried(login, "RSA with SHA-1 only, by", identity->path);
	else
		login_note_tried(login, private_key_algorithm(identity->key), identity->path);
}

enum stream_result
login_try_file(struct ssh_login *login, struct err *err)
{
	enum stream_result result;
	void *abstract = login;

	if (login->index >= ssh_credentials_count(login->credentials)) {
		login_go_to(login, LOGIN_LIST_AGENT);
		return STREAM_AGAIN;
	}
	const struct ssh_identity *identity = ssh_credentials_get(login->credentials, login->index);
	bool is_certificate = private_key_has_certificate(identity->key) &&
			      !login->is_certificate_refused;
	if (login->blob == NULL) {
		note_tried(login, identity, is_certificate);
		login->blob = is_certificate ? private_key_certificate_blob(identity->key,
									    &login->blob_length)
					     : private_key_public_blob(identity->key, login->rsa,
								       &login->blob_length);
	}
	int answer = libssh2_userauth_publickey(login->session->ssh, login->user, login->blob,
						login->blob_length, sign_by_file, &abstract);
	if (!login_is_refused(login, answer, &result, err))
		return result;
	if (login_is_partial(login))
		return STREAM_AGAIN;
	login_forget_key(login);
	if (is_certificate) {
		login->is_certificate_refused = true; /* the key alone may do */
		return STREAM_AGAIN;
	}
	login->is_certificate_refused = false;
	login->index++;
	return STREAM_AGAIN;
}
