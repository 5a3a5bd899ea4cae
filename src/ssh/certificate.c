#include "ssh/certificate.h"

#include <errno.h>
#include <libssh2.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	LINE_SIZE = 32 * 1024,
	USER_CERTIFICATE = 1,
	LIBSSH2_1_11 = 0x010b00,
};

static const char suffix[] = "-cert-v01@openssh.com";

/* libssh2 asks with the blob's name, and must sign with the plain one: it knows how to shorten
 * ECDSA's names only, from 1.11 on Ed25519's. RSA's need a name other than the blob's in either
 * place, or the server wants SHA-1. */
static bool
can_carry(const struct key_kind *kind, struct err *err)
{
	static const char advice[] = "use one for an ECDSA key (ssh-keygen -t ecdsa), or the plain "
				     "key";

	switch (kind->type) {
	case KEY_TYPE_ECDSA:
		return true;
	case KEY_TYPE_ED25519:
		return libssh2_version(LIBSSH2_1_11) != NULL ||
		       err_set(err,
			       "certificates for Ed25519 keys need libssh2 1.11, and this is %s; %s",
			       libssh2_version(0), advice);
	case KEY_TYPE_RSA:
		return err_set(err, "libssh2 cannot use certificates for RSA keys; %s", advice);
	}
	return false;
}

/* The blob is the second word of the line, in base64. Appends it to `out`. */
static bool
decode_line(char *line, struct buffer *out)
{
	unsigned char blob[LINE_SIZE];
	char *rest = NULL;
	char *word = strtok_r(line, " \t\r\n", &rest);

	word = word != NULL ? strtok_r(NULL, " \t\r\n", &rest) : NULL;
	size_t padding = word != NULL ? strlen(word) - strcspn(word, "=") : 0;
	int length = word != NULL && padding <= 2
			     ? EVP_DecodeBlock(blob, (unsigned char *)word, (int)strlen(word))
			     : -1;
	return length > 2 && buffer_append(out, blob, (size_t)length - padding);
}

static bool
read_file(const char *path, struct buffer *out, struct err *err)
{
	char line[LINE_SIZE];
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return err_set_errno(err, errno, "it cannot be opened");
	bool is_read = fgets(line, sizeof line, file) != NULL && decode_line(line, out);
	(void)fclose(file);
	return is_read || err_set(err, "it is no certificate of ssh-keygen");
}

static bool
check_time(uint64_t valid_after, uint64_t valid_before, struct err *err)
{
	uint64_t now = (uint64_t)time(NULL);

	if (now >= valid_after && now < valid_before)
		return true;

	bool is_early = now < valid_after;
	time_t limit = (time_t)(is_early ? valid_after : valid_before);
	struct tm date;
	char shown[32] = "a date that no calendar has";
	if (gmtime_r(&limit, &date) != NULL)
		(void)strftime(shown, sizeof shown, "%Y-%m-%d %H:%M:%S UTC", &date);
	return err_set(err, is_early ? "it is valid only from %s on" : "it expired at %s", shown);
}

static bool
is_damaged(struct err *err)
{
	return err_set(err, "it is damaged");
}

static bool
check_blob(struct wire_span blob, const struct key_kind *kind,
	   const struct wire_span *public_fields, struct err *err)
{
	struct wire_span name;
	struct wire_span skipped;
	struct wire_span fields;
	uint64_t serial;
	uint64_t valid_after;
	uint64_t valid_before;
	uint32_t type;
	size_t name_length = strlen(kind->algorithm);

	if (!wire_read_string(&blob, &name))
		return is_damaged(err);
	if (name.length != name_length + strlen(suffix) ||
	    memcmp(name.bytes, kind->algorithm, name_length) != 0 ||
	    memcmp(name.bytes + name_length, suffix, strlen(suffix)) != 0)
		return err_set(err, "it is not a certificate for a key of type %s",
			       kind->algorithm);
	if (!wire_read_string(&blob, &skipped) || /* nonce */
	    !wire_read_bytes(&blob, public_fields->length, &fields))
		return is_damaged(err);
	if (memcmp(fields.bytes, public_fields->bytes, fields.length) != 0)
		return err_set(err, "it belongs to another key");
	if (!wire_read_u64(&blob, &serial) || !wire_read_u32(&blob, &type) ||
	    !wire_read_string(&blob, &skipped) || /* key id */
	    !wire_read_string(&blob, &skipped) || /* principals */
	    !wire_read_u64(&blob, &valid_after) || !wire_read_u64(&blob, &valid_before))
		return is_damaged(err);
	if (type != USER_CERTIFICATE)
		return err_set(err, "it is a certificate for a host, not for a user");
	return check_time(valid_after, valid_before, err);
}

bool
certificate_load(const char *path, const struct key_kind *kind,
		 const struct wire_span *public_fields, struct buffer *out, struct err *err)
{
	if (can_carry(kind, err) && read_file(path, out, err) &&
	    check_blob((struct wire_span){buffer_head(out), buffer_length(out)}, kind,
		       public_fields, err))
		return true;
	return err_wrap(err, "cannot use certificate '%s'", path);
}
