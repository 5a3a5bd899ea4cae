#ifndef CACHETUNNEL_SSH_CREDENTIALS_H
#define CACHETUNNEL_SSH_CREDENTIALS_H

#include "config/bastion.h"
#include "config/report.h"

#include <stddef.h>

/*
 * What a login to one bastion can use: its private keys, unlocked, and its password. Loaded once
 * at start, where nobody is kept waiting; read-only afterwards.
 */

struct private_key;
struct ssh_credentials;

struct ssh_identity {
	const char *path;        /* of the key file; borrowed from the configuration */
	struct private_key *key; /* owned by the credentials */
};

/* Reads the files that `bastion` (borrowed) names. Files that somebody wrote down and that cannot
 * be used are errors in `report`; default files that are not there are not. Returns owned, also
 * with errors. May compute for a second (encrypted keys), and asks for a passphrase where standard
 * input is a terminal. */
struct ssh_credentials *ssh_credentials_load(const struct bastion *bastion, struct report *report);

/* Wipes and frees. NULL is fine. */
void ssh_credentials_free(struct ssh_credentials *credentials);

size_t ssh_credentials_count(const struct ssh_credentials *credentials);
const struct ssh_identity *ssh_credentials_get(const struct ssh_credentials *credentials,
					       size_t index);

const char *ssh_credentials_user(const struct ssh_credentials *credentials);

const char *ssh_credentials_password(const struct ssh_credentials *credentials); /* NULL: none */

/* The agent's socket; NULL: none. */
const char *ssh_credentials_agent(const struct ssh_credentials *credentials);

#endif
