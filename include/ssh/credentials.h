#ifndef CACHETUNNEL_SSH_CREDENTIALS_H
#define CACHETUNNEL_SSH_CREDENTIALS_H

#include "config/bastion.h"
#include "config/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

/*
 * What a login to one bastion can use: its private keys, unlocked, and its password. Loaded at
 * start and by reloads, where nobody is kept waiting; read-only afterwards.
 */

struct private_key;
struct ssh_credentials;

struct ssh_identity {
	const char *path;        /* of the key file; borrowed from the configuration */
	struct private_key *key; /* owned by the credentials */
	ino_t inode;             /* of the file, when it was read; 0: it was gone by then */
	time_t changed_at;
};

/* Where else an encrypted key may come from. */
struct ssh_credentials_help {
	bool may_ask; /* for a passphrase, where standard input is a terminal */
	/* What the same bastion had before a reload: a key that somebody unlocked at the terminal
	 * is taken from there, if its file has not changed. NULL: nothing. */
	const struct ssh_credentials *previous;
};

/* Reads the files that `bastion` (borrowed) names. Files that somebody wrote down and that cannot
 * be used are errors in `report`; default files that are not there are not. Returns owned, also
 * with errors. May compute for a second (encrypted keys), and wait for somebody to type. */
struct ssh_credentials *ssh_credentials_load(const struct bastion *bastion,
					     const struct ssh_credentials_help *help,
					     struct report *report);

/* Whether a login with one is the same as with the other. */
bool ssh_credentials_are_equal(const struct ssh_credentials *credentials,
			       const struct ssh_credentials *other);

/* Wipes and frees. NULL is fine. */
void ssh_credentials_free(struct ssh_credentials *credentials);

size_t ssh_credentials_count(const struct ssh_credentials *credentials);
const struct ssh_identity *ssh_credentials_get(const struct ssh_credentials *credentials,
					       size_t index);

/* The place, among all identityFiles, of the one that is this key's public half (as it goes over the
 * wire): FILE.pub, or the file itself. SIZE_MAX: none is. */
size_t ssh_credentials_find_public(const struct ssh_credentials *credentials,
				   const unsigned char *blob, size_t length);

/* Whether a key of the agent's (as it goes over the wire) may be used: with identitiesOnly, if one
 * of identityFile is its public half. */
bool ssh_credentials_allow(const struct ssh_credentials *credentials, const unsigned char *blob,
			   size_t length);

const char *ssh_credentials_user(const struct ssh_credentials *credentials);

const char *ssh_credentials_password(const struct ssh_credentials *credentials); /* NULL: none */

/* The agent's socket; NULL: none. */
const char *ssh_credentials_agent(const struct ssh_credentials *credentials);

#endif
