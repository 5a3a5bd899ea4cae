#include "ssh/no_common.h"

#include "base/text.h"
#include "config/bastion.h"
#include "ssh/host_check.h"
#include "ssh/server_offer.h"

#include <stdio.h>
#include <string.h>

enum { LIST_SIZE = 150 };

/* Host keys are looked at apart: libssh2 is told which of them to ask for. */
static const struct {
	enum server_offer_list list;
	int method;
	const char *what;
} kinds[] = {
	{SERVER_OFFER_KEY_EXCHANGE, LIBSSH2_METHOD_KEX, "key exchange"},
	{SERVER_OFFER_CIPHER, LIBSSH2_METHOD_CRYPT_CS, "cipher"},
	{SERVER_OFFER_CIPHER_BACK, LIBSSH2_METHOD_CRYPT_SC, "cipher"},
	{SERVER_OFFER_MAC, LIBSSH2_METHOD_MAC_CS, "MAC"},
};

/* The server's list, for people. */
static const char *
show(struct wire_span list, char *out)
{
	char text[LIST_SIZE];

	(void)snprintf(text, sizeof text, "%.*s%s",
		       (int)(list.length < LIST_SIZE - 4 ? list.length : LIST_SIZE - 4),
		       (const char *)list.bytes, list.length < LIST_SIZE - 4 ? "" : "...");
	return text_escape(out, LIST_SIZE, text);
}

/* Whether nothing of the kind is on both sides; then `ours` is what libssh2 has. */
static bool
is_missing(LIBSSH2_SESSION *ssh, int method, struct wire_span theirs, char *ours)
{
	const char **names = NULL;
	int count = libssh2_session_supported_algs(ssh, method, &names);
	bool is_common = count <= 0;
	size_t length = 0;

	ours[0] = '\0';
	for (int i = 0; i < count; i++) {
		is_common |= server_offer_has(theirs, names[i]);
		if (length < LIST_SIZE)
			length += (size_t)snprintf(ours + length, LIST_SIZE - length, "%s%s",
						   length > 0 ? "," : "", names[i]);
	}
	if (count > 0)
		libssh2_free(ssh, names);
	return !is_common;
}

static bool
explain_kind(LIBSSH2_SESSION *ssh, struct wire_span greeting, const char *version, struct err *err)
{
	char ours[LIST_SIZE];
	char theirs[LIST_SIZE];

	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
		struct wire_span list;
		if (!server_offer_find(greeting.bytes, greeting.length, kinds[i].list, &list) ||
		    !is_missing(ssh, kinds[i].method, list, ours))
			continue;
		(void)err_set(err,
			      "no common algorithm: '%s' offers no %s that libssh2 %s has; it "
			      "offers %s; libssh2 has %s",
			      version, kinds[i].what, LIBSSH2_VERSION, show(list, theirs), ours);
		return true;
	}
	return false;
}

/* The server's host keys are the matter, and it has shown what it has. */
static bool
explain_host_keys(const struct bastion *bastion, struct wire_span keys, const char *version,
		  struct err *err)
{
	char theirs[LIST_SIZE];
	char known[LIST_SIZE];

	(void)show(keys, theirs);
	if (*host_check_list_known(bastion, known, sizeof known) == '\0')
		return err_set(err,
			       "no common algorithm: '%s' has host keys for %s only, and this "
			       "libssh2 (%s) takes none of them; make an ed25519 key there: "
			       "ssh-keygen -A",
			       version, theirs, LIBSSH2_VERSION);
	return err_set(err,
		       "no common algorithm: '%s' has host keys for %s only, and those known for "
		       "'%s' are %s; compare the new one's fingerprint, then add it: ssh-keyscan "
		       "-p %d %s",
		       version, theirs, host_check_name(bastion), known, bastion->options.port,
		       bastion->options.host);
}

void
no_common_explain(const struct bastion *bastion, LIBSSH2_SESSION *ssh, struct wire_span greeting,
		  const char *version, struct err *err)
{
	struct wire_span keys;

	if (explain_kind(ssh, greeting, version, err))
		;
	else if (host_check_knows_rsa_only(bastion))
		(void)err_set(err,
			      "no common algorithm: only an RSA key of '%s' is known, and this "
			      "libssh2 (%s) takes RSA host keys with SHA-1 only, which '%s' does "
			      "not offer; add its ed25519 key: ssh-keyscan -t ed25519 -p %d %s",
			      host_check_name(bastion), LIBSSH2_VERSION, version,
			      bastion->options.port, bastion->options.host);
	else if (server_offer_find(greeting.bytes, greeting.length, SERVER_OFFER_HOST_KEY, &keys))
		(void)explain_host_keys(bastion, keys, version, err);
	else
		(void)err_set(err, "no common algorithm, or a broken key exchange, with '%s'",
			      version);
	(void)err_mark(err, ERR_SSH_PROTOCOL);
}
