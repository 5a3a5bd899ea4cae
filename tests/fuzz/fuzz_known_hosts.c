#include "ssh/known_hosts.h"

#include "base/memory.h"
#include "ssh/base64.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first line is the host that is looked up; the rest is a known_hosts file of an attacker's
 * choice. What is found does not matter; that the answers agree with each other does. */

enum { HOST_LENGTH_MAX = 255, PORT_OTHER = 2222 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ECDSA_256                                                                  \
	"AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMAXHibISAbvflFVX7AR" \
	"ODPlN5NqZhGdVE2KiIMaFQBBgBtyJSFd46Xo/AMR4Dovudbpc6QRmenYfedwg+AqINw="

/* In the seeds too. */
static const char *const key_texts[] = {
	"AAAAC3NzaC1lZDI1NTE5AAAAIGQAQN9uE5VmpRBohC5b/dPXGcRxNTK16rGFqPFCA5Vo",
	"AAAAC3NzaC1lZDI1NTE5AAAAILJWHy65V5vWph97sUe3Iuv+hqzFlKpsk+Ao5ukwKPB9",
	ECDSA_256,
	"AAAAB3NzaC1uZXcAAAAA",
};

static void
expect(bool is_true)
{
	if (!is_true)
		abort();
}

static void
check_finding(const struct known_hosts *hosts, const char *host, unsigned port, struct host_key key)
{
	struct host_key_finding finding = known_hosts_check(hosts, host, port, key);
	unsigned types = known_hosts_types(hosts, host, port);
	unsigned type = host_key_type(key);

	expect((finding.verdict == HOST_KEY_UNKNOWN) == (finding.place[0] == '\0'));
	expect((finding.verdict == HOST_KEY_CHANGED) ==
	       (strncmp(finding.known, "SHA256:", strlen("SHA256:")) == 0));
	switch (finding.verdict) {
	case HOST_KEY_KNOWN:
		expect((types & type) == type);
		break;
	case HOST_KEY_UNKNOWN:
	case HOST_KEY_CERTIFICATE_ONLY:
		expect(types == 0);
		break;
	case HOST_KEY_OTHER_TYPE:
		expect((types & type) == 0);
		break;
	case HOST_KEY_CHANGED:
	case HOST_KEY_REVOKED:
		break;
	}
}

static void
check_case(const struct known_hosts *hosts, const char *host, unsigned port, struct host_key key)
{
	char upper[HOST_LENGTH_MAX + 1];
	size_t length = strlen(host);

	for (size_t i = 0; i <= length; i++)
		upper[i] = host[i] >= 'a' && host[i] <= 'z' ? (char)(host[i] - 'a' + 'A') : host[i];
	struct host_key_finding finding = known_hosts_check(hosts, host, port, key);
	struct host_key_finding same = known_hosts_check(hosts, upper, port, key);
	expect(memcmp(&finding, &same, sizeof finding) == 0);
}

static void
check_key(const struct known_hosts *hosts, const char *host, const char *base64)
{
	size_t length = 0;
	unsigned char *blob = base64_decode(base64, strlen(base64), &length);
	struct host_key key = {blob, length};

	expect(blob != NULL && host_key_is_well_formed(key));
	check_finding(hosts, host, 22, key);
	check_finding(hosts, host, PORT_OTHER, key);
	check_case(hosts, host, 22, key);
	check_case(hosts, host, PORT_OTHER, key);
	free(blob);
}

/* Whatever a file says, one line more forbids the key. */
static void
check_revocation(struct known_hosts *hosts, const char *host)
{
	size_t length = 0;
	unsigned bad = 0;
	unsigned char *blob = base64_decode(key_texts[0], strlen(key_texts[0]), &length);
	struct host_key key = {blob, length};
	char *line = memory_format("@revoked * ssh-ed25519 %s", key_texts[0]);

	known_hosts_parse(hosts, "revoked", line, strlen(line), &bad);
	expect(bad == 0);
	expect(known_hosts_check(hosts, host, 22, key).verdict == HOST_KEY_REVOKED);
	free(line);
	free(blob);
}

/* The input's bytes as a key from a server. */
static void
check_blob(const struct known_hosts *hosts, const char *host, const uint8_t *data, size_t size)
{
	struct host_key key = {data, size};
	char out[HOST_KEY_FINGERPRINT_SIZE];
	char name[HOST_KEY_ALGORITHM_SIZE];

	expect(strlen(host_key_fingerprint(key, out, sizeof out)) == 50);
	expect(*host_key_algorithm(key, name, sizeof name) != '\0');
	expect(host_key_type(key) == 0 || strcmp(name, "?") != 0);
	check_finding(hosts, host, 22, key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char host[HOST_LENGTH_MAX + 1];
	const uint8_t *end = memchr(data, '\n', size);
	size_t host_length = end != NULL ? (size_t)(end - data) : size;
	unsigned bad = 0;

	if (end == NULL || host_length == 0 || host_length > HOST_LENGTH_MAX ||
	    memchr(data, '\0', host_length) != NULL)
		return 0;
	memcpy(host, data, host_length);
	host[host_length] = '\0';

	struct known_hosts *hosts = known_hosts_new();
	const char *text = (const char *)end + 1;
	size_t length = size - host_length - 1;
	known_hosts_parse(hosts, "input", text, length, &bad);
	expect(bad <= length);
	for (size_t i = 0; i < ARRAY_LENGTH(key_texts); i++)
		check_key(hosts, host, key_texts[i]);
	check_blob(hosts, host, (const uint8_t *)text, length);
	check_revocation(hosts, host);
	known_hosts_free(hosts);
	return 0;
}
