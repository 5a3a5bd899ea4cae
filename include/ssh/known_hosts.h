#ifndef CACHETUNNEL_SSH_KNOWN_HOSTS_H
#define CACHETUNNEL_SSH_KNOWN_HOSTS_H

#include "base/err.h"
#include "ssh/host_key.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * OpenSSH's known_hosts files (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"), by a reader of our own:
 * libssh2's knows neither patterns nor @revoked, and gives up at the first line it cannot read.
 * It reads files and compares keys; what follows from that is the session's business.
 *
 * A set of files is read once and is read-only afterwards, so that any thread may ask it.
 */

struct known_hosts;

enum host_key_verdict {
	HOST_KEY_KNOWN,            /* this host has this key */
	HOST_KEY_UNKNOWN,          /* nothing is known of this host */
	HOST_KEY_OTHER_TYPE,       /* keys of this host are known, but none of this type */
	HOST_KEY_CHANGED,          /* another key of this type is known */
	HOST_KEY_REVOKED,          /* a @revoked line forbids this key */
	HOST_KEY_CERTIFICATE_ONLY, /* the host has only @cert-authority lines, which are not
				    * supported */
};

enum { HOST_KEY_PLACE_SIZE = 256, KNOWN_HOSTS_NAME_SIZE = 1088 };

struct host_key_finding {
	enum host_key_verdict verdict;
	char place[HOST_KEY_PLACE_SIZE]; /* "FILE:LINE" of the line that decided; empty: none */
	char known[HOST_KEY_FINGERPRINT_SIZE]; /* for CHANGED: the fingerprint that was known */
};

struct known_hosts *known_hosts_new(void);
void known_hosts_free(struct known_hosts *hosts); /* NULL is fine */

/* Reads one file more. A file that does not exist is no error: then nothing is known from it.
 * Lines that cannot be understood are passed over, each for itself; their number is added to
 * `*bad_lines` (NULL: nobody counts). False when the file exists and cannot be read. */
bool known_hosts_read(struct known_hosts *hosts, const char *path, unsigned *bad_lines,
		      struct err *err) ATTR_MUST_CHECK;

/* As known_hosts_read(), from memory; `name` stands in places. */
void known_hosts_parse(struct known_hosts *hosts, const char *name, const char *text, size_t length,
		       unsigned *bad_lines);

/*
 * What is known of `key` for `host` (a name or a literal address, without brackets) and `port`. A
 * port other than 22 is looked up as `[host]:port` only; ssh, where that finds nothing, also
 * believes a line for the plain host that has this very key. Ask again with port 22 for that.
 *
 * All files count alike, in whatever order they were read. REVOKED goes over everything, then
 * KNOWN over CHANGED over OTHER_TYPE over CERTIFICATE_ONLY; the first line of a kind decides. To
 * OpenSSH, OTHER_TYPE is a changed key too.
 */
struct host_key_finding known_hosts_check(const struct known_hosts *hosts, const char *host,
					  unsigned port, struct host_key key);

/* Which types (enum host_key_type) are known for the host, revoked keys not counted. */
unsigned known_hosts_types(const struct known_hosts *hosts, const char *host, unsigned port);

/* The name by which such files know a host: `host` for port 22, else `[host]:port`, in lower case.
 * It is what `ssh-keygen -R` wants. False if `out` is too small; KNOWN_HOSTS_NAME_SIZE holds every
 * name that there is. */
bool known_hosts_name(const char *host, unsigned port, char *out, size_t size) ATTR_MUST_CHECK;

/* Appends a line for the host to `path`, made if need be (mode 0600, its folder 0700): under a
 * lock, as one write, and with a line end before it where the file has none at its end. Under the
 * lock the file is read once more: a line that is there by then is not repeated, and with another
 * key of the host this fails. May wait for the disk, and a quarter of a second for the lock. */
bool known_hosts_append(const char *path, const char *host, unsigned port, struct host_key key,
			struct err *err) ATTR_MUST_CHECK;

#endif
