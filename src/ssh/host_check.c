#include "ssh/host_check.h"

#include "config/bastion.h"
#include "ssh/known_hosts.h"
#include "ssh/server_offer.h"

#include <stdio.h>
#include <string.h>

enum { ALGORITHM_SIZE = 64, LIST_SIZE = 256, DEFAULT_PORT = 22 };

/* In the order of preference. RSA last, and only where nothing else is known: libssh2 1.10
 * verifies it with SHA-1 only, which current servers no longer offer. */
static const struct {
	enum host_key_type type;
	const char *name;
} methods[] = {
	{HOST_KEY_ED25519, "ssh-ed25519"},
	{HOST_KEY_ECDSA_256, "ecdsa-sha2-nistp256"},
	{HOST_KEY_ECDSA_384, "ecdsa-sha2-nistp384"},
	{HOST_KEY_ECDSA_521, "ecdsa-sha2-nistp521"},
	{HOST_KEY_RSA, "rsa-sha2-512"},
	{HOST_KEY_RSA, "rsa-sha2-256"},
	{HOST_KEY_RSA, "ssh-rsa"},
};

enum {
	WITHOUT_RSA = HOST_KEY_ED25519 | HOST_KEY_ECDSA_256 | HOST_KEY_ECDSA_384 |
		      HOST_KEY_ECDSA_521,
};

static const char *
looked_up_name(const struct bastion *bastion)
{
	const struct bastion_options *options = &bastion->options;

	return options->host_key_alias != NULL ? options->host_key_alias : options->host;
}

/* An alias stands for host and port. */
static unsigned
looked_up_port(const struct bastion *bastion)
{
	return bastion->options.host_key_alias != NULL ? DEFAULT_PORT
						       : (unsigned)bastion->options.port;
}

/* Reads every file. From one that cannot be read nothing is known, and `err` says so; it is empty
 * otherwise. */
static struct known_hosts *
read_files(const struct bastion *bastion, struct err *err)
{
	const struct text_list *files = &bastion->options.known_hosts;
	struct known_hosts *hosts = known_hosts_new();

	err->text[0] = '\0';
	for (size_t i = 0; hosts != NULL && i < files->count; i++) {
		struct err unreadable;
		if (!known_hosts_read(hosts, files->items[i].text, NULL, &unreadable))
			*err = unreadable;
	}
	return hosts;
}

static unsigned
known_types(const struct bastion *bastion)
{
	struct err ignored;
	struct known_hosts *hosts = read_files(bastion, &ignored);
	unsigned types = 0;

	if (hosts != NULL)
		types = known_hosts_types(hosts, looked_up_name(bastion), looked_up_port(bastion));
	known_hosts_free(hosts);
	return types;
}

static bool
is_among(const char *name, const char *const *names, int count)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

void
host_check_prefer(const struct bastion *bastion, LIBSSH2_SESSION *ssh, unsigned seen_types)
{
	bool is_pinned_only = bastion->options.host_key.count > 0;
	unsigned types = is_pinned_only ? 0 : known_types(bastion);
	const char **supported = NULL;
	char list[LIST_SIZE] = "";
	int length = 0;

	if (seen_types != 0)
		types = ~seen_types;
	else if (types == 0)
		types = WITHOUT_RSA;
	int count = libssh2_session_supported_algs(ssh, LIBSSH2_METHOD_HOSTKEY, &supported);
	/* Names that this libssh2 does not know are left out here: 1.10 takes them out itself by
	 * copying overlapping memory. */
	for (size_t i = 0; i < ARRAY_LENGTH(methods); i++) {
		if ((types & methods[i].type) != 0 && is_among(methods[i].name, supported, count))
			length += snprintf(list + length, sizeof list - (size_t)length, "%s%s",
					   length > 0 ? "," : "", methods[i].name);
	}
	if (count > 0)
		libssh2_free(ssh, supported);
	/* Without any of them libssh2's own list stays, and the handshake's failure will tell. */
	if (length > 0)
		(void)libssh2_session_method_pref(ssh, LIBSSH2_METHOD_HOSTKEY, list);
}

static bool
is_pinned(const struct bastion *bastion, const char *fingerprint)
{
	const struct text_list *pins = &bastion->options.host_key;

	for (size_t i = 0; i < pins->count; i++) {
		if (strcmp(pins->items[i].text, fingerprint) == 0)
			return true;
	}
	return false;
}

static bool
accept_new(const struct bastion *bastion, struct host_key key, const char *fingerprint,
	   const struct log_scope *log, struct err *err)
{
	const struct text_list *files = &bastion->options.known_hosts;

	if (files->count == 0)
		return err_set(err, "there is no knownHosts file to add the host key to");
	if (!known_hosts_append(files->items[0].text, looked_up_name(bastion),
				looked_up_port(bastion), key, err))
		return false;
	log_write(log, LOG_LEVEL_WARNING,
		  "bastion '%s': the host key %s was unknown and is now in '%s' (hostKeyCheck = "
		  "accept-new)",
		  bastion->name, fingerprint, files->items[0].text);
	return true;
}

/* ssh-keyscan can only ask a server that it reaches by itself, and by the name that is looked up. */
static bool
refuse_unknown(const struct bastion *bastion, const char *algorithm, const char *fingerprint,
	       struct err *err)
{
	const struct bastion_options *options = &bastion->options;
	const char *name = looked_up_name(bastion);

	if (options->known_hosts.count == 0 || bastion->via != NULL ||
	    options->proxy_command != NULL || options->host_key_alias != NULL)
		return err_set(err,
			       "the host key of '%s', %s %s, is unknown; compare the fingerprint, "
			       "then write hostKey = %s, or hostKeyCheck = accept-new",
			       name, algorithm, fingerprint, fingerprint);
	return err_set(err,
		       "the host key of '%s', %s %s, is unknown; compare the fingerprint, then "
		       "run: ssh-keyscan -p %d %s >>%s (or write hostKey = %s)",
		       name, algorithm, fingerprint, options->port, name,
		       options->known_hosts.items[0].text, fingerprint);
}

/* It may well be known, in a file that cannot be read; or another one is. */
static bool
refuse_unlooked(const struct bastion *bastion, const struct err *unreadable, const char *algorithm,
		const char *fingerprint, struct err *err)
{
	return err_set(err,
		       "the host key of '%s', %s %s, cannot be looked up: %s; let the user that "
		       "this runs as (see setuid) read the file, or compare the fingerprint, then "
		       "write it behind hostKey =",
		       looked_up_name(bastion), algorithm, fingerprint, unreadable->text);
}

static bool
refuse(const struct bastion *bastion, const struct host_key_finding *finding, const char *algorithm,
       const char *fingerprint, struct err *err)
{
	const char *name = looked_up_name(bastion);

	switch (finding->verdict) {
	case HOST_KEY_CHANGED:
		return err_set(err,
			       "the host key of '%s' has CHANGED: it shows %s %s, and %s knows %s; "
			       "somebody may be listening. If the key was changed on purpose, "
			       "remove that line",
			       name, algorithm, fingerprint, finding->place, finding->known);
	case HOST_KEY_REVOKED:
		return err_set(err, "the host key of '%s', %s %s, is revoked by %s", name,
			       algorithm, fingerprint, finding->place);
	case HOST_KEY_OTHER_TYPE:
		return err_set(err,
			       "the host key of '%s', %s %s, is unknown: other types of its keys "
			       "are known (%s), this one is not; add it with ssh-keyscan, after "
			       "comparing its fingerprint",
			       name, algorithm, fingerprint, finding->place);
	case HOST_KEY_CERTIFICATE_ONLY:
		return err_set(err,
			       "'%s' is known by a @cert-authority line only (%s), which is not "
			       "supported; add its key, %s %s, or pin it with hostKey",
			       name, finding->place, algorithm, fingerprint);
	case HOST_KEY_UNKNOWN:
	case HOST_KEY_KNOWN:
		break;
	}
	return refuse_unknown(bastion, algorithm, fingerprint, err);
}

/* As ssh does: a key that is known for the name without a port is good for any port, while a
 * different key without a port says nothing about another port. */
static struct host_key_finding
find_key(const struct bastion *bastion, const struct known_hosts *hosts, struct host_key key)
{
	const char *name = looked_up_name(bastion);
	unsigned port = looked_up_port(bastion);
	struct host_key_finding finding = known_hosts_check(hosts, name, port, key);

	if (finding.verdict == HOST_KEY_UNKNOWN && port != DEFAULT_PORT) {
		struct host_key_finding plain = known_hosts_check(hosts, name, DEFAULT_PORT, key);
		if (plain.verdict == HOST_KEY_KNOWN || plain.verdict == HOST_KEY_REVOKED)
			return plain;
	}
	return finding;
}

/* `why` says why it is accepted. */
static bool
accept_key(const char *algorithm, const char *fingerprint, const char *why, char *ret_text)
{
	(void)snprintf(ret_text, HOST_CHECK_TEXT_SIZE, "%s %s (%s)", algorithm, fingerprint, why);
	return true;
}

static bool
check_key(const struct bastion *bastion, struct host_key key, const struct log_scope *log,
	  char *ret_text, struct err *err)
{
	char fingerprint[HOST_KEY_FINGERPRINT_SIZE];
	char algorithm[ALGORITHM_SIZE];
	struct err unreadable;
	struct known_hosts *hosts;
	struct host_key_finding finding;

	(void)host_key_fingerprint(key, fingerprint, sizeof fingerprint);
	(void)host_key_algorithm(key, algorithm, sizeof algorithm);
	if (bastion->options.host_key.count > 0) {
		if (is_pinned(bastion, fingerprint))
			return accept_key(algorithm, fingerprint, "pinned by hostKey", ret_text);
		return err_set(err, "the host key of '%s' is %s %s, and hostKey allows only %s",
			       looked_up_name(bastion), algorithm, fingerprint,
			       bastion->options.host_key.items[0].text);
	}
	hosts = read_files(bastion, &unreadable);
	if (hosts == NULL)
		return err_set(err, "out of memory");
	finding = find_key(bastion, hosts, key);
	known_hosts_free(hosts);

	if (finding.verdict == HOST_KEY_KNOWN) {
		char why[sizeof finding.place + 16];
		(void)snprintf(why, sizeof why, "known by %s", finding.place);
		return accept_key(algorithm, fingerprint, why, ret_text);
	}
	if (bastion->options.host_key_check == HOST_KEY_CHECK_NO &&
	    finding.verdict != HOST_KEY_REVOKED) {
		log_write(log, LOG_LEVEL_WARNING,
			  "bastion '%s': its host key, %s %s, is not checked (hostKeyCheck = no)",
			  bastion->name, algorithm, fingerprint);
		return accept_key(algorithm, fingerprint, "not checked: hostKeyCheck = no",
				  ret_text);
	}
	if (finding.verdict == HOST_KEY_UNKNOWN && unreadable.text[0] != '\0')
		return refuse_unlooked(bastion, &unreadable, algorithm, fingerprint, err);
	if (bastion->options.host_key_check == HOST_KEY_CHECK_ACCEPT_NEW &&
	    finding.verdict == HOST_KEY_UNKNOWN)
		return accept_new(bastion, key, fingerprint, log, err) &&
		       accept_key(algorithm, fingerprint, "new, and added to knownHosts", ret_text);
	(void)refuse(bastion, &finding, algorithm, fingerprint, err);
	if (unreadable.text[0] != '\0')
		(void)err_wrap(err, "%s", unreadable.text);
	return false;
}

bool
host_check(const struct bastion *bastion, LIBSSH2_SESSION *ssh, const struct log_scope *log,
	   char *ret_text, struct err *err)
{
	size_t length = 0;
	int type = 0;
	const char *blob = libssh2_session_hostkey(ssh, &length, &type);
	struct host_key key = {.blob = (const unsigned char *)blob, .length = length};

	if (blob == NULL)
		return err_set(err, "the server showed no host key");
	return check_key(bastion, key, log, ret_text, err) || err_mark(err, ERR_HOST_KEY);
}

const char *
host_check_name(const struct bastion *bastion)
{
	return looked_up_name(bastion);
}

char *
host_check_list_known(const struct bastion *bastion, char *out, size_t size)
{
	unsigned types = known_types(bastion);
	size_t length = 0;

	out[0] = '\0';
	for (size_t i = 0; i < ARRAY_LENGTH(methods) && length < size; i++) {
		if ((types & methods[i].type) != 0)
			length += (size_t)snprintf(out + length, size - length, "%s%s",
						   length > 0 ? "," : "", methods[i].name);
	}
	return out;
}

bool
host_check_knows_rsa_only(const struct bastion *bastion)
{
	return bastion->options.host_key.count == 0 && known_types(bastion) == HOST_KEY_RSA;
}

/* The types of keys that the server has and that this libssh2 takes. */
static unsigned
common_types(LIBSSH2_SESSION *ssh, struct wire_span offer)
{
	const char **supported = NULL;
	int count = libssh2_session_supported_algs(ssh, LIBSSH2_METHOD_HOSTKEY, &supported);
	unsigned types = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(methods); i++) {
		if (server_offer_has(offer, methods[i].name) &&
		    is_among(methods[i].name, supported, count))
			types |= methods[i].type;
	}
	if (count > 0)
		libssh2_free(ssh, supported);
	return types;
}

bool
host_check_has_more(const struct bastion *bastion, LIBSSH2_SESSION *ssh, struct wire_span greeting,
		    unsigned *seen_types)
{
	struct wire_span offer;
	size_t length = 0;
	int type = 0;
	const char *blob = libssh2_session_hostkey(ssh, &length, &type);
	struct host_key key = {.blob = (const unsigned char *)blob, .length = length};

	if (bastion->options.host_key.count == 0 || blob == NULL ||
	    !server_offer_find(greeting.bytes, greeting.length, SERVER_OFFER_HOST_KEY, &offer))
		return false;
	*seen_types |= host_key_type(key);
	return (common_types(ssh, offer) & ~*seen_types) != 0;
}
