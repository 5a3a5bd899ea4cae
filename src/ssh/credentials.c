#include "ssh/credentials.h"

#include "base/memory.h"
#include "base/terminal.h"
#include "base/text.h"
#include "ssh/agent_query.h"
#include "ssh/private_key.h"
#include "ssh/public_key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_SIZE = 1024, ASK_TIMES = 3 };

/* The public half of a key file. */
struct public_half {
	unsigned char *blob; /* owned */
	size_t length;
};

struct ssh_credentials {
	const struct bastion *bastion;   /* borrowed */
	struct ssh_identity *identities; /* owned */
	size_t count;
	struct public_half *public_halves; /* owned; of every key file that has one */
	size_t public_count;
	char *user;     /* owned */
	char *password; /* owned, wiped; NULL: none */
};

static void
free_secret(char *secret)
{
	if (secret != NULL)
		OPENSSL_cleanse(secret, strlen(secret));
	free(secret);
}

/* The first line of a file, which is how passphrases and passwords are kept. */
static char *
read_secret(const struct bastion *bastion, const char *option, const char *path,
	    struct report *report)
{
	char line[SECRET_SIZE];
	FILE *file;
	char *secret = NULL;

	if (path == NULL)
		return NULL;
	file = fopen(path, "r");
	if (file == NULL) {
		report_add(report, REPORT_ERROR, bastion_option_at(bastion, option),
			   "cannot open %s '%s': %s", option, path, strerror(errno));
		return NULL;
	}
	(void)setvbuf(file, NULL, _IONBF, 0); /* no copy of it stays in a buffer of stdio's */
	if (fgets(line, sizeof line, file) != NULL) {
		line[strcspn(line, "\r\n")] = '\0';
		secret = memory_copy_text(line);
	} else {
		report_add(report, REPORT_ERROR, bastion_option_at(bastion, option),
			   "%s '%s' is empty", option, path);
	}
	OPENSSL_cleanse(line, sizeof line);
	(void)fclose(file);
	return secret;
}

/* As ssh: a certificate lies beside its key. */
static void
add_certificate(struct ssh_credentials *credentials, const struct text_item *file,
		struct private_key *key, struct report *report)
{
	char *path = memory_format("%s-cert.pub", file->text);
	struct err err;

	if (access(path, F_OK) == 0 && !private_key_load_certificate(key, path, &err))
		report_add(report, REPORT_WARNING,
			   file->at.file != NULL ? file->at : credentials->bastion->at,
			   "%s; the key is used without it", err.text);
	free(path);
}

/* Asks at the terminal, where there is one, for what unlocks a key. */
static struct private_key *
unlock_by_asking(const char *path, enum private_key_failure *failure, struct err *err)
{
	char question[ERR_TEXT_SIZE];
	char passphrase[SECRET_SIZE];
	struct private_key *key = NULL;

	(void)snprintf(question, sizeof question, "Passphrase for %s: ", path);
	for (int i = 0; i < ASK_TIMES && key == NULL; i++) {
		if (!terminal_ask_secret(question, passphrase, sizeof passphrase))
			break;
		key = private_key_load(path, passphrase, failure, err);
		if (key == NULL && *failure != PRIVATE_KEY_WRONG_PASSPHRASE)
			break;
	}
	OPENSSL_cleanse(passphrase, sizeof passphrase);
	return key;
}

/* The key of the same file, unlocked before. */
static struct private_key *
find_unlocked(const struct ssh_credentials *previous, const char *path)
{
	struct stat status;

	if (previous == NULL || stat(path, &status) != 0)
		return NULL;
	for (size_t i = 0; i < previous->count; i++) {
		const struct ssh_identity *identity = &previous->identities[i];
		if (strcmp(identity->path, path) == 0 && identity->inode == status.st_ino &&
		    identity->changed_at == status.st_mtime)
			return private_key_ref(identity->key);
	}
	return NULL;
}

static void
keep_identity(struct ssh_credentials *credentials, const char *path, struct private_key *key)
{
	struct ssh_identity identity = {.path = path, .key = key};
	struct stat status;

	if (stat(path, &status) == 0) {
		identity.inode = status.st_ino;
		identity.changed_at = status.st_mtime;
	}
	credentials->identities = memory_grow(credentials->identities, credentials->count + 1,
					      sizeof *credentials->identities);
	credentials->identities[credentials->count++] = identity;
}

static bool
add_public_half(struct ssh_credentials *credentials, const char *path)
{
	size_t length = 0;
	unsigned char *blob = public_key_load(path, &length);

	if (blob == NULL)
		return false;
	credentials->public_halves = memory_grow(credentials->public_halves,
						 credentials->public_count + 1,
						 sizeof *credentials->public_halves);
	credentials->public_halves[credentials->public_count++] =
		(struct public_half){.blob = blob, .length = length};
	return true;
}

/* What an agent may have in the file's place. True: the file itself is a public key. */
static bool
note_public_half(struct ssh_credentials *credentials, const char *path)
{
	char *beside = memory_format("%s.pub", path);
	bool is_public = !add_public_half(credentials, beside) &&
			 add_public_half(credentials, path);

	free(beside);
	return is_public;
}

/* A person may know the passphrase that is missing, or the one that passphraseFile should hold;
 * that of a default file only matters if there is nothing else. */
static bool
is_worth_asking(enum private_key_failure failure, bool is_default, bool has_agent)
{
	return (failure == PRIVATE_KEY_NEEDS_PASSPHRASE && !(is_default && has_agent)) ||
	       (failure == PRIVATE_KEY_WRONG_PASSPHRASE && !is_default);
}

/* Its user has unlocked it there. `half` is the place that its public half has, if it has one. */
static bool
is_in_agent(const struct ssh_credentials *credentials, size_t half)
{
	const char *agent = ssh_credentials_agent(credentials);

	return agent != NULL && half < credentials->public_count &&
	       agent_query_has(agent, credentials->public_halves[half].blob,
			       credentials->public_halves[half].length);
}

/* Says why a key's file cannot be used, unless that is nobody's mistake. */
static void
report_unusable(const struct ssh_credentials *credentials, const struct text_item *file,
		enum private_key_failure failure, const struct err *err, struct report *report)
{
	bool is_default = file->at.file == NULL;
	bool is_encrypted = failure == PRIVATE_KEY_NEEDS_PASSPHRASE;

	if (is_default && (failure == PRIVATE_KEY_MISSING || is_encrypted))
		return;
	if (failure == PRIVATE_KEY_MISSING && credentials->bastion->origin == BASTION_ALIAS)
		report_add(report, REPORT_NOTE, file->at,
			   "key '%s' is not there; as by ssh, whose configuration names it, it is "
			   "passed over",
			   file->text);
	else if (is_encrypted && ssh_credentials_agent(credentials) != NULL)
		report_add(report, REPORT_NOTE, file->at,
			   "key '%s' is encrypted, and there is no passphraseFile: it is used if "
			   "the agent has it (ssh-add)",
			   file->text);
	else
		report_add(report, is_default ? REPORT_WARNING : REPORT_ERROR,
			   is_default ? credentials->bastion->at : file->at, "%s%s", err->text,
			   is_encrypted ? "; write passphraseFile, or load it into an agent "
					  "(ssh-add)"
					: "");
}

static void
add_identity(struct ssh_credentials *credentials, const struct text_item *file,
	     const char *passphrase, const struct ssh_credentials_help *help, struct report *report)
{
	enum private_key_failure failure = PRIVATE_KEY_FAILED;
	bool is_default = file->at.file == NULL;
	bool has_agent = ssh_credentials_agent(credentials) != NULL;
	size_t half = credentials->public_count;
	struct err err;

	/* As for ssh, a public key names one of the agent's. */
	if (note_public_half(credentials, file->text) && has_agent)
		return;
	struct private_key *key = private_key_load(file->text, passphrase, &failure, &err);

	if (key == NULL && is_worth_asking(failure, is_default, has_agent)) {
		key = find_unlocked(help->previous, file->text);
		if (key != NULL) {
			/* Others sign with it, so its certificate stays the one it has. */
			keep_identity(credentials, file->text, key);
			return;
		}
		if (failure == PRIVATE_KEY_NEEDS_PASSPHRASE && is_in_agent(credentials, half))
			return;
		if (help->may_ask)
			key = unlock_by_asking(file->text, &failure, &err);
	}
	if (key == NULL) {
		report_unusable(credentials, file, failure, &err, report);
		return;
	}
	add_certificate(credentials, file, key, report);
	keep_identity(credentials, file->text, key);
}

static const char *
user_name(const struct bastion_options *options)
{
	const struct passwd *self = options->user == NULL ? getpwuid(geteuid()) : NULL;

	if (options->user != NULL)
		return options->user;
	return self != NULL ? self->pw_name : "root";
}

/* A file that somebody wrote down and that is not there is a mistake, unless it is to be made. */
static void
check_known_hosts(const struct bastion *bastion, struct report *report)
{
	const struct text_list *files = &bastion->options.known_hosts;

	for (size_t i = 0; i < files->count; i++) {
		const struct text_item *file = &files->items[i];
		if (file->at.file != NULL && access(file->text, R_OK) != 0 &&
		    bastion->options.host_key_check != HOST_KEY_CHECK_ACCEPT_NEW)
			report_add(report, REPORT_WARNING, file->at,
				   "cannot read knownHosts '%s': %s", file->text, strerror(errno));
	}
}

/* Whether a file was written that must be there; of an ssh alias, one that is. */
static bool
names_a_key(const struct bastion *bastion)
{
	const struct text_list *files = &bastion->options.identity_file;

	for (size_t i = 0; i < files->count; i++) {
		if (files->items[i].at.file != NULL &&
		    (bastion->origin != BASTION_ALIAS || access(files->items[i].text, F_OK) == 0))
			return true;
	}
	return false;
}

struct ssh_credentials *
ssh_credentials_load(const struct bastion *bastion, const struct ssh_credentials_help *help,
		     struct report *report)
{
	const struct bastion_options *options = &bastion->options;
	struct ssh_credentials *credentials = memory_zero(sizeof *credentials);
	char *passphrase = read_secret(bastion, "passphraseFile", options->passphrase_file, report);

	credentials->bastion = bastion;
	credentials->user = memory_copy_text(user_name(options));
	credentials->password = read_secret(bastion, "passwordFile", options->password_file,
					    report);
	for (size_t i = 0; i < options->identity_file.count; i++)
		add_identity(credentials, &options->identity_file.items[i], passphrase, help,
			     report);
	free_secret(passphrase);
	check_known_hosts(bastion, report);
	/* A file that was written and cannot be used has had its own line. */
	if (credentials->count == 0 && credentials->password == NULL && !names_a_key(bastion) &&
	    ssh_credentials_agent(credentials) == NULL)
		report_add(report, REPORT_WARNING, bastion->at,
			   "bastion '%.80s' has nothing to log in with: no key file, no agent "
			   "(SSH_AUTH_SOCK), no passwordFile; write identityFile",
			   bastion->name);
	return credentials;
}

void
ssh_credentials_free(struct ssh_credentials *credentials)
{
	if (credentials == NULL)
		return;
	for (size_t i = 0; i < credentials->count; i++)
		private_key_free(credentials->identities[i].key);
	free(credentials->identities);
	for (size_t i = 0; i < credentials->public_count; i++)
		free(credentials->public_halves[i].blob);
	free(credentials->public_halves);
	free_secret(credentials->password);
	free(credentials->user);
	free(credentials);
}

static bool
is_same_text(const char *text, const char *other)
{
	return text == NULL || other == NULL ? text == other : strcmp(text, other) == 0;
}

bool
ssh_credentials_are_equal(const struct ssh_credentials *credentials,
			  const struct ssh_credentials *other)
{
	if (!is_same_text(credentials->user, other->user) ||
	    !is_same_text(credentials->password, other->password) ||
	    !is_same_text(ssh_credentials_agent(credentials), ssh_credentials_agent(other)) ||
	    credentials->count != other->count)
		return false;
	for (size_t i = 0; i < credentials->count; i++) {
		if (!private_key_is_equal(credentials->identities[i].key, other->identities[i].key))
			return false;
	}
	return true;
}

size_t
ssh_credentials_count(const struct ssh_credentials *credentials)
{
	return credentials->count;
}

const struct ssh_identity *
ssh_credentials_get(const struct ssh_credentials *credentials, size_t index)
{
	return &credentials->identities[index];
}

size_t
ssh_credentials_find_public(const struct ssh_credentials *credentials, const unsigned char *blob,
			    size_t length)
{
	for (size_t i = 0; i < credentials->public_count; i++) {
		const struct public_half *half = &credentials->public_halves[i];
		if (half->length == length && memcmp(half->blob, blob, length) == 0)
			return i;
	}
	return SIZE_MAX;
}

bool
ssh_credentials_allow(const struct ssh_credentials *credentials, const unsigned char *blob,
		      size_t length)
{
	return !credentials->bastion->options.is_identities_only ||
	       ssh_credentials_find_public(credentials, blob, length) != SIZE_MAX;
}

const char *
ssh_credentials_user(const struct ssh_credentials *credentials)
{
	return credentials->user;
}

const char *
ssh_credentials_password(const struct ssh_credentials *credentials)
{
	return credentials->password;
}

const char *
ssh_credentials_agent(const struct ssh_credentials *credentials)
{
	const char *configured = credentials->bastion->options.identity_agent;
	const char *inherited = getenv("SSH_AUTH_SOCK");

	if (configured != NULL)
		return text_equal_nocase(configured, "none") ? NULL : configured;
	return inherited != NULL && inherited[0] != '\0' ? inherited : NULL;
}
