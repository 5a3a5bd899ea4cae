#include "ssh/known_hosts.h"

#include "base/memory.h"
#include "ssh/base64.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Made by ssh-keygen for this test; nobody has their private halves. */
#define ED25519        \
	"ssh-ed25519 " \
	"AAAAC3NzaC1lZDI1NTE5AAAAIGQAQN9uE5VmpRBohC5b/dPXGcRxNTK16rGFqPFCA5Vo"

#define ED25519_OTHER  \
	"ssh-ed25519 " \
	"AAAAC3NzaC1lZDI1NTE5AAAAILJWHy65V5vWph97sUe3Iuv+hqzFlKpsk+Ao5ukwKPB9"

#define ECDSA_256                                                                      \
	"ecdsa-sha2-nistp256 "                                                         \
	"AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMAXHibISAbvflFVX7ARODPl" \
	"N5NqZhGdVE2KiIMaFQBBgBtyJSFd46Xo/AMR4Dovudbpc6QRmenYfedwg+AqINw="

#define ECDSA_256_OTHER                                                                \
	"ecdsa-sha2-nistp256 "                                                         \
	"AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBLECSXf5+m7xMWitvXQckD+k" \
	"hbiG8V6omowSafRR+9V9fN7B5Vf5Ygt9HQDBa+951q5bjqcNWQDCV3t3OoCISEA="

#define ECDSA_384                                                                      \
	"ecdsa-sha2-nistp384 "                                                         \
	"AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBFfJvXqNcdyo3vTaZpn3lLQN" \
	"+CVnmDGmb3Oa3G7x4NGeQFUElm+43k8ns2EjFdQR0+f4w/G7YAm2aSUHiwqQ1Iljv9y/ibwl4fUb" \
	"5MGaHTwnDxwUS7Uwtz60F3umJMxfmQ=="

#define ECDSA_521                                                                      \
	"ecdsa-sha2-nistp521 "                                                         \
	"AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAD623QfZ6c7V3fOwlDZWkoG" \
	"TxBrga0SclGXTUF+wlISmIh4CLNXiPtV68oWHLaCzJCRpo5TLP6BCwmyzVn0RaVbIgHN7egVNXvv" \
	"0BHjCHCKDXYoIgt/De1eB8W+/r5aSEI8OeOWd3p1vj6aLNaYtjLl4iahZCLMMPJs+CpVZHaY+nHh" \
	"zA=="

#define RSA                                                                            \
	"ssh-rsa "                                                                     \
	"AAAAB3NzaC1yc2EAAAADAQABAAABAQCuV3OR/gHmWZeTDnDp5hXv03ZRJafLg9k5hiEpjgeMdiEr" \
	"fKWrO/lpXlajHXGb2d62FYcauy+77i0AiUcm6EeNPEnKA6y+ZHVj4NVNgCBST9s69Wamlwbf7ovl" \
	"PEfENb4nyvCOeVmQFg2lizwKGRSUOX/d8cNlkbq/QTH9X09PRwKwvDII+TVOSBmiXPIYIsJGj4Lk" \
	"HamFii9p4qyd+Ox+Wst+TiOM1lcvu+oQ6q5lM9/VoVhVAbvfd8Xd7bY8Hi2icyxt4wHKjiJPrPSb" \
	"KwvZAY+TYhWBO1wg5+ZUHY9fONfsEfTdJKXll8KsweyHvfYz6xjZw7q8oaWZiFXmmeRT"

#define RSA_OTHER                                                                      \
	"ssh-rsa "                                                                     \
	"AAAAB3NzaC1yc2EAAAADAQABAAABAQC9mZ2vPEM5r3Hfzl97J3GVMaJ4TJug1uaUlvLmTQcFMk2G" \
	"zc4phfk4W555bclKxOCEGix76Lfi2aDi2kfRAzxb1tY40KUy0zjLrlTP2QQBxjaFPjCxu0m9jc8V" \
	"QQ342PR4IyAGX5LDagltLZnM8pJFUpMoiqPFvxZNqqYdiT0Y6sGTrQVQOqynvNpqwmZBHBBE2D0Q" \
	"uYs4RplDb/9cAIcAM1+ET9DPwicsJ1PbYkFax7XcGcbOc9K46Vc3co4foMcu1blk//uNQCZ48Dqb" \
	"4gEKI971nTzNQvZTrt0zh977KKhzVQX/fSl6/kkhynYfT0pnlaWXZ0n7TDlIZlaX5/Bj"

/* "bastion.example.com", "[bastion.example.com]:2222" and "2001:db8::7", by ssh-keygen -H. */
#define HASHED "|1|+gOdLBls6eTiktlo1ekSPzEj02U=|XKAP3eqmZyKQ8s7LOjdAQK67qVg="
#define HASHED_PORT "|1|F4JYsQNirHuFbtVgzMnQ+Ah7dm0=|/n+2d4mqWBkDwhzLvvphBzj0OFk="
#define HASHED_IPV6 "|1|q/8wUkqdlom3t53fWHyEmpI5+OI=|Arn5QLGF/f2QznnBY0dGmdYb0JA="
#define HOST "bastion.example.com"

/* A key as its text, "ALGORITHM BASE64". Returns owned bytes. */
static struct host_key
key_from(const char *text)
{
	const char *base64 = strchr(text, ' ') + 1;
	size_t length = 0;
	unsigned char *blob = base64_decode(base64, strcspn(base64, " "), &length);

	assert_non_null(blob);
	return (struct host_key){blob, length};
}

static void
free_key(struct host_key key)
{
	free((void *)(uintptr_t)key.blob);
}

static struct host_key_finding
ask(const char *text, size_t length, const char *host, unsigned port, const char *key_text)
{
	struct known_hosts *hosts = known_hosts_new();
	struct host_key key = key_from(key_text);

	known_hosts_parse(hosts, "file", text, length, NULL);
	struct host_key_finding finding = known_hosts_check(hosts, host, port, key);
	free_key(key);
	known_hosts_free(hosts);
	return finding;
}

static unsigned
count_bad(const char *text, size_t length)
{
	struct known_hosts *hosts = known_hosts_new();
	unsigned bad = 0;

	known_hosts_parse(hosts, "file", text, length, &bad);
	known_hosts_free(hosts);
	return bad;
}

static const struct {
	const char *text;
	const char *host;
	unsigned port;
	const char *key;
	enum host_key_verdict verdict;
	unsigned line; /* 0: none decides */
} verdicts[] = {
	/* Plain names and lists. */
	{"", HOST, 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{"\n\n", HOST, 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{HOST " " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 1},
	{HOST " " ED25519, HOST, 22, ED25519, HOST_KEY_KNOWN, 1},
	{HOST " " ED25519 " me@laptop, for tests\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 1},
	{" \t" HOST "\t \t" ED25519 "\t#\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 1},
	{"a,b," HOST ",10.0.0.7 " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 1},
	{"a,b," HOST ",10.0.0.7 " ED25519 "\n", "10.0.0.7", 22, ED25519, HOST_KEY_KNOWN, 1},
	{"a,b," HOST ",10.0.0.7 " ED25519 "\n", "a,b", 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{"a,,b, " ED25519 "\n", "b", 22, ED25519, HOST_KEY_KNOWN, 1},
	{"# comment\n\n  # another\n" HOST " " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 4},
	{"#" HOST " " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{"example.com " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{HOST ".org " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_UNKNOWN, 0},

	/* Case, carriage returns. */
	{"BASTION.Example.COM " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 1},
	{HOST " " ED25519 "\n", "Bastion.EXAMPLE.com", 22, ED25519, HOST_KEY_KNOWN, 1},
	{HASHED " " ED25519 "\n", "Bastion.EXAMPLE.com", 22, ED25519, HOST_KEY_KNOWN, 1},
	{"\r\n#\r\n" HOST " " ED25519 "\r\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 3},
	{HOST " " ED25519 " comment\r\nb " RSA "\r\n", "b", 22, RSA, HOST_KEY_KNOWN, 2},
	{HOST " " ED25519 "\r", HOST, 22, ED25519, HOST_KEY_KNOWN, 1},

	/* Every type; another key of it; another type. */
	{HOST " " ECDSA_256 "\n", HOST, 22, ECDSA_256, HOST_KEY_KNOWN, 1},
	{HOST " " ECDSA_384 "\n", HOST, 22, ECDSA_384, HOST_KEY_KNOWN, 1},
	{HOST " " ECDSA_521 "\n", HOST, 22, ECDSA_521, HOST_KEY_KNOWN, 1},
	{HOST " " RSA "\n", HOST, 22, RSA, HOST_KEY_KNOWN, 1},
	{HOST " " ED25519_OTHER "\n", HOST, 22, ED25519, HOST_KEY_CHANGED, 1},
	{HOST " " ECDSA_256_OTHER "\n", HOST, 22, ECDSA_256, HOST_KEY_CHANGED, 1},
	{HOST " " RSA_OTHER "\n", HOST, 22, RSA, HOST_KEY_CHANGED, 1},
	{HOST " " RSA "\n", HOST, 22, ED25519, HOST_KEY_OTHER_TYPE, 1},
	{HOST " " ECDSA_256 "\n", HOST, 22, ECDSA_384, HOST_KEY_OTHER_TYPE, 1},
	{HOST " " RSA "\n" HOST " " ED25519_OTHER "\n", HOST, 22, ED25519, HOST_KEY_CHANGED, 2},
	{HOST " " ED25519_OTHER "\n" HOST " " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 2},
	{HOST " " ED25519 "\n" HOST " " ED25519_OTHER "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 1},
	{HOST " ssh-new AAAAB3NzaC1uZXcAAAAA\n", HOST, 22, ED25519, HOST_KEY_OTHER_TYPE, 1},

	/* Hashed names. */
	{HASHED " " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 1},
	{HASHED " " ED25519 "\n", HOST, 22, ED25519_OTHER, HOST_KEY_CHANGED, 1},
	{HASHED " " ED25519 "\n", HOST, 2222, ED25519, HOST_KEY_UNKNOWN, 0},
	{HASHED " " ED25519 "\n", "other.example.com", 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{HASHED_PORT " " ED25519 "\n", HOST, 2222, ED25519, HOST_KEY_KNOWN, 1},
	{HASHED_PORT " " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{HASHED_IPV6 " " ED25519 "\n", "2001:DB8::7", 22, ED25519, HOST_KEY_KNOWN, 1},
	{"@revoked " HASHED " " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_REVOKED, 1},

	/* Ports. */
	{"[" HOST "]:2222 " ED25519 "\n", HOST, 2222, ED25519, HOST_KEY_KNOWN, 1},
	{"[" HOST "]:2222 " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{"[" HOST "]:2222 " ED25519 "\n", HOST, 222, ED25519, HOST_KEY_UNKNOWN, 0},
	{"[" HOST "]:22 " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 1},
	{HOST " " ED25519 "\n", HOST, 2222, ED25519, HOST_KEY_UNKNOWN, 0},
	{"[" HOST "]:* " ED25519 "\n", HOST, 2222, ED25519, HOST_KEY_KNOWN, 1},
	{"[*.EXAMPLE.com]:2?22 " ED25519 "\n", HOST, 2222, ED25519, HOST_KEY_KNOWN, 1},
	{"*.example.com " ED25519 "\n", HOST, 2222, ED25519, HOST_KEY_UNKNOWN, 0},

	/* IPv6. */
	{"2001:db8::7 " ED25519 "\n", "2001:db8::7", 22, ED25519, HOST_KEY_KNOWN, 1},
	{"[2001:db8::7]:2222 " ED25519 "\n", "2001:db8::7", 2222, ED25519, HOST_KEY_KNOWN, 1},
	{"[2001:db8::7]:22 " ED25519 "\n", "2001:db8::7", 22, ED25519, HOST_KEY_KNOWN, 1},
	{"fe80::1%eth0 " ED25519 "\n", "fe80::1%eth0", 22, ED25519, HOST_KEY_KNOWN, 1},
	{"2001:db8::* " ED25519 "\n", "2001:db8::7", 22, ED25519, HOST_KEY_KNOWN, 1},

	/* Patterns and negation. */
	{"* " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 1},
	{"* " ED25519 "\n", HOST, 2222, ED25519, HOST_KEY_KNOWN, 1},
	{"*.example.com " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 1},
	{"*.example.com " ED25519 "\n", "example.com", 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{"b*n.*.c?m " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 1},
	{"*a*a*a*a*b " ED25519 "\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 22, ED25519,
	 HOST_KEY_UNKNOWN, 0},
	{"10.0.?.7 " ED25519 "\n", "10.0.12.7", 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{"?* " ED25519 "\n", "a", 22, ED25519, HOST_KEY_KNOWN, 1},
	{"a? " ED25519 "\n", "a", 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{"*.example.com,!" HOST " " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{"!" HOST ",*.example.com " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{"!" HOST ",*.example.com " ED25519 "\n", "a.example.com", 22, ED25519, HOST_KEY_KNOWN, 1},
	{"!a.example.com " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{"*,![" HOST "]:22 " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{"a," HASHED " " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_UNKNOWN, 0},

	/* Markers. */
	{"@revoked * " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_REVOKED, 1},
	{"@revoked * " ED25519 "\n" HOST " " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_REVOKED, 1},
	{HOST " " ED25519 "\n@revoked\t* " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_REVOKED, 2},
	{"@revoked " HOST " " ED25519 "\n", "other", 22, ED25519, HOST_KEY_UNKNOWN, 0},
	{"@revoked * " ED25519 "\n", HOST, 22, ED25519_OTHER, HOST_KEY_UNKNOWN, 0},
	{"@revoked * " ED25519 "\n", HOST, 2222, ED25519, HOST_KEY_REVOKED, 1},
	{"@cert-authority *.example.com " RSA "\n", HOST, 22, ED25519, HOST_KEY_CERTIFICATE_ONLY,
	 1},
	{"@cert-authority *.example.com " RSA "\n", HOST, 22, RSA, HOST_KEY_CERTIFICATE_ONLY, 1},
	{"@cert-authority *.example.org " RSA "\n", HOST, 22, RSA, HOST_KEY_UNKNOWN, 0},
	{"@cert-authority * " RSA "\n" HOST " " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 2},
	{"@cert-authority * " RSA "\n" HOST " " RSA "\n", HOST, 22, ED25519, HOST_KEY_OTHER_TYPE,
	 2},
	{"@cert-authority * " RSA "\n@revoked * " RSA "\n", HOST, 22, RSA, HOST_KEY_REVOKED, 2},

	/* A bad line spoils only itself. */
	{HOST "\n" HOST " " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 2},
	{HOST " ssh-ed25519 !!!!\n" HOST " " ED25519 "\n", HOST, 22, ED25519, HOST_KEY_KNOWN, 2},
};

static void
verdicts_are_those_of_openssh(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < ARRAY_LENGTH(verdicts); i++) {
		const char *text = verdicts[i].text;
		struct host_key_finding finding = ask(text, strlen(text), verdicts[i].host,
						      verdicts[i].port, verdicts[i].key);
		char place[16] = "";
		if (verdicts[i].line > 0)
			(void)snprintf(place, sizeof place, "file:%u", verdicts[i].line);
		if (finding.verdict != verdicts[i].verdict || strcmp(finding.place, place) != 0)
			fail_msg("%s port %u: verdict %d at '%s' from\n%s", verdicts[i].host,
				 verdicts[i].port, (int)finding.verdict, finding.place, text);
		assert_int_equal(finding.known[0] != '\0', finding.verdict == HOST_KEY_CHANGED);
	}
}

static void
bad_lines_are_counted(void **state ATTR_UNUSED)
{
	static const char *const bad[] = {
		HOST,
		HOST " ",
		HOST " ssh-ed25519",
		HOST " ssh-ed25519 ",
		HOST " # " ED25519,
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGQAQN9uE5VmpRBohC5b/dPXGcRxNTK16rGFqPFCA5Vo",
		"@revoked",
		"@revoked ",
		"@revoked " ED25519,
		"@unknown " HOST " " ED25519,
		"@REVOKED " HOST " " ED25519,
		"@ " HOST " " ED25519,
		"@revoked @cert-authority " HOST " " ED25519,
		/* base64 */
		HOST " ssh-ed25519 !!!!",
		HOST " ssh-ed25519 A",
		HOST " ssh-ed25519 =",
		HOST " ssh-ed25519 ====",
		HOST
		" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGQAQN9uE5VmpRBohC5b/dPXGcRxNTK16rGFqPFCA5V",
		HOST
		" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGQAQN9uE5VmpRBohC5b/dPXGcRxNTK16rGFqPFC====",
		HOST " " ED25519 "AAAA",
		HOST " " ED25519 "\x80",
		HOST " ssh-new AAAAB3NzaC1uZXd=", /* bits behind the end */
		/* The blob is not what the line says, or no key. */
		HOST
		" ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIGQAQN9uE5VmpRBohC5b/dPXGcRxNTK16rGFqPFCA5Vo",
		HOST
		" SSH-ED25519 AAAAC3NzaC1lZDI1NTE5AAAAIGQAQN9uE5VmpRBohC5b/dPXGcRxNTK16rGFqPFCA5Vo",
		HOST " ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAyNTYAAABB",
		HOST " ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAQEB",
		HOST " ssh-rsa AAAAB3NzaC1yc2E=",
		HOST " ? AAAAAAAA",
		/* Hashes. */
		"| " ED25519,
		"|1| " ED25519,
		"|1|| " ED25519,
		"|2|+gOdLBls6eTiktlo1ekSPzEj02U=|XKAP3eqmZyKQ8s7LOjdAQK67qVg= " ED25519,
		"|1|+gOdLBls6eTiktlo1ekSPzEj02U=|XKAP " ED25519,
		"|1|+gOd|XKAP3eqmZyKQ8s7LOjdAQK67qVg= " ED25519,
		"|1|+gOdLBls6eTiktlo1ekSPzEj02U=|XKAP3eqmZyKQ8s7LOjdAQK67qVg=,b " ED25519,
		HASHED "|AAAA " ED25519,
	};

	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		char *text = memory_format("a " RSA "\n%s\nb " RSA "\n", bad[i]);
		if (count_bad(text, strlen(text)) != 1)
			fail_msg("%u bad lines: %s", count_bad(text, strlen(text)), bad[i]);
		struct host_key_finding finding = ask(text, strlen(text), "b", 22, RSA);
		assert_int_equal(finding.verdict, HOST_KEY_KNOWN);
		assert_string_equal(finding.place, "file:3");
		free(text);
	}
}

static void
a_line_with_a_nul_is_bad(void **state ATTR_UNUSED)
{
	static const char text[] = HOST " " ED25519 "\0\nb " ED25519 "\n";

	assert_int_equal(count_bad(text, sizeof text - 1), 1);
	assert_int_equal(ask(text, sizeof text - 1, HOST, 22, ED25519).verdict, HOST_KEY_UNKNOWN);
	assert_int_equal(ask(text, sizeof text - 1, "b", 22, ED25519).verdict, HOST_KEY_KNOWN);
}

static void
good_lines_are_not_counted(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i + 2 < ARRAY_LENGTH(verdicts); i++) {
		const char *text = verdicts[i].text;
		if (count_bad(text, strlen(text)) != 0)
			fail_msg("a bad line in:\n%s", text);
	}
	assert_int_equal(count_bad("one\ntwo\n\nthree", 14), 3);
}

static void
lines_may_be_long(void **state ATTR_UNUSED)
{
	enum { LENGTH = 300 * 1000 };
	char *filler = memory_zero(LENGTH + 1);

	for (size_t i = 0; i < LENGTH; i++)
		filler[i] = i % 10 == 9 ? ',' : 'a';
	char *text = memory_format("%s\nb,%s," HOST " " ED25519 " %s\n#%s\nc " RSA "\n", filler,
				   filler, filler, filler);
	assert_int_equal(count_bad(text, strlen(text)), 1);
	assert_string_equal(ask(text, strlen(text), HOST, 22, ED25519).place, "file:2");
	assert_string_equal(ask(text, strlen(text), "c", 22, RSA).place, "file:4");

	/* No host has such a name, and no pattern is about it. */
	free(text);
	text = memory_format("* " ED25519 "\n");
	assert_int_equal(ask(text, strlen(text), filler, 22, ED25519).verdict, HOST_KEY_UNKNOWN);
	free(text);
	free(filler);
}

static void
a_changed_key_comes_with_its_fingerprint(void **state ATTR_UNUSED)
{
	static const char text[] = "\n" HOST " " ED25519 "\n" HOST " " ED25519 "\n";
	struct host_key_finding finding = ask(text, strlen(text), HOST, 22, ED25519_OTHER);

	assert_int_equal(finding.verdict, HOST_KEY_CHANGED);
	assert_string_equal(finding.known, "SHA256:V3ybRQtxLVmlG9GFJqXz4ACRTNZXfxixFVYy7vU5AsA");
	assert_string_equal(finding.place, "file:2");
}

static void
a_long_file_name_keeps_the_line(void **state ATTR_UNUSED)
{
	struct known_hosts *hosts = known_hosts_new();
	struct host_key key = key_from(ED25519);
	char name[400] = "";

	memset(name, 'x', sizeof name - 1);
	known_hosts_parse(hosts, name, HOST " " ED25519, strlen(HOST " " ED25519), NULL);
	struct host_key_finding finding = known_hosts_check(hosts, HOST, 22, key);
	assert_int_equal(strlen(finding.place), HOST_KEY_PLACE_SIZE - 1);
	assert_string_equal(finding.place + HOST_KEY_PLACE_SIZE - 4, "x:1");
	free_key(key);
	known_hosts_free(hosts);
}

static void
types_are_those_of_the_host(void **state ATTR_UNUSED)
{
	static const char text[] = HOST " " RSA "\n"
					"[" HOST "]:2222 " ED25519 "\n"
					"*.example.com " ECDSA_256 "\n" HASHED " " ECDSA_384 "\n"
					"@cert-authority * " ECDSA_521 "\n"
					"@revoked * " RSA_OTHER "\n"
					"lost.example.com " RSA_OTHER "\n"
					"half.example.com " RSA_OTHER "\n"
					"half.example.com " RSA "\n";
	struct known_hosts *hosts = known_hosts_new();

	assert_int_equal(known_hosts_types(hosts, HOST, 22), 0);
	known_hosts_parse(hosts, "file", text, strlen(text), NULL);
	assert_int_equal(known_hosts_types(hosts, HOST, 22),
			 HOST_KEY_RSA | HOST_KEY_ECDSA_256 | HOST_KEY_ECDSA_384);
	assert_int_equal(known_hosts_types(hosts, HOST, 2222), HOST_KEY_ED25519);
	assert_int_equal(known_hosts_types(hosts, "lost.example.com", 22), HOST_KEY_ECDSA_256);
	assert_int_equal(known_hosts_types(hosts, "half.example.com", 22),
			 HOST_KEY_ECDSA_256 | HOST_KEY_RSA);
	assert_int_equal(known_hosts_types(hosts, "other", 22), 0);
	known_hosts_free(hosts);
}

static void
files_count_alike(void **state ATTR_UNUSED)
{
	static const char first[] = HOST " " ED25519_OTHER "\n";
	static const char second[] = "\n" HOST " " ED25519 "\n";
	static const char third[] = "@revoked * " ED25519 "\n";
	struct known_hosts *hosts = known_hosts_new();
	struct host_key key = key_from(ED25519);

	known_hosts_parse(hosts, "first", first, strlen(first), NULL);
	assert_int_equal(known_hosts_check(hosts, HOST, 22, key).verdict, HOST_KEY_CHANGED);
	known_hosts_parse(hosts, "second", second, strlen(second), NULL);
	struct host_key_finding finding = known_hosts_check(hosts, HOST, 22, key);
	assert_int_equal(finding.verdict, HOST_KEY_KNOWN);
	assert_string_equal(finding.place, "second:2");
	known_hosts_parse(hosts, "third", third, strlen(third), NULL);
	assert_string_equal(known_hosts_check(hosts, HOST, 22, key).place, "third:1");
	free_key(key);
	known_hosts_free(hosts);
}

/* A line without its end is one bad line or none; the lines before it stay. */
static void
files_may_end_anywhere(void **state ATTR_UNUSED)
{
	static const char whole[] = "# comment\n"
				    "@revoked * " RSA "\n" HASHED " " ECDSA_256 "\r\n"
				    "[" HOST "]:2222,!x," HOST " " ED25519 " comment\n";
	const size_t known_from = strlen(whole) - strlen(" comment\n");

	for (size_t length = 0; length <= strlen(whole); length++) {
		char *copy = memory_zero(length + 1); /* for a sanitizer to see its end */
		memcpy(copy, whole, length);
		copy = memory_grow(copy, length > 0 ? length : 1, 1);
		assert_true(count_bad(copy, length) <= 1);
		enum host_key_verdict verdict = ask(copy, length, HOST, 2222, ED25519).verdict;
		if (length >= known_from)
			assert_int_equal(verdict, HOST_KEY_KNOWN);
		else
			assert_int_equal(verdict, HOST_KEY_UNKNOWN);
		free(copy);
	}
}

static void
no_flipped_bit_makes_another_key_known(void **state ATTR_UNUSED)
{
	static const char whole[] = HASHED " " ED25519_OTHER "\n" HOST " " ED25519 "\n";
	char text[sizeof whole];

	for (size_t bit = 0; bit < strlen(whole) * 8; bit++) {
		memcpy(text, whole, sizeof whole);
		text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
		assert_true(count_bad(text, strlen(whole)) <= 2);
		enum host_key_verdict first = ask(text, strlen(whole), HOST, 22, ED25519).verdict;
		enum host_key_verdict second =
			ask(text, strlen(whole), HOST, 22, ED25519_OTHER).verdict;
		assert_int_not_equal(ask(text, strlen(whole), HOST, 22, RSA).verdict,
				     HOST_KEY_KNOWN);
		/* One flip spoils one line; both, where it joins them. */
		if (bit / 8 != strlen(HASHED " " ED25519_OTHER))
			assert_true(first == HOST_KEY_KNOWN || second == HOST_KEY_KNOWN);
	}
}

static void
keys_say_what_they_are(void **state ATTR_UNUSED)
{
	static const struct {
		const char *key;
		const char *algorithm;
		const char *fingerprint; /* by ssh-keygen -l */
		unsigned type;
	} keys[] = {
		{ED25519, "ssh-ed25519", "SHA256:V3ybRQtxLVmlG9GFJqXz4ACRTNZXfxixFVYy7vU5AsA",
		 HOST_KEY_ED25519},
		{ECDSA_256, "ecdsa-sha2-nistp256",
		 "SHA256:EpffDUchRPikdKcW/E3w1LSYVz5MM2WlnoYpHcJfIVk", HOST_KEY_ECDSA_256},
		{ECDSA_384, "ecdsa-sha2-nistp384",
		 "SHA256:rNh0jtSmbZ4C6t/+WPcTRhe4uhwHfjHNNXH1madp3Ds", HOST_KEY_ECDSA_384},
		{ECDSA_521, "ecdsa-sha2-nistp521",
		 "SHA256:kk1S+BY9nQfwMLKmRCy6ISO5L5Rr93ZIW9XKawKXs00", HOST_KEY_ECDSA_521},
		{RSA, "ssh-rsa", "SHA256:NRWw1cRdFlSr6sgZj2Mn6TqMrobAyYUzIFrF968ByWc",
		 HOST_KEY_RSA},
	};
	char out[HOST_KEY_FINGERPRINT_SIZE];
	char name[HOST_KEY_ALGORITHM_SIZE];

	for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
		struct host_key key = key_from(keys[i].key);
		assert_string_equal(host_key_fingerprint(key, out, sizeof out),
				    keys[i].fingerprint);
		assert_string_equal(host_key_algorithm(key, name, sizeof name), keys[i].algorithm);
		assert_int_equal(host_key_type(key), keys[i].type);
		assert_true(host_key_is_well_formed(key));
		for (size_t length = 0; length < key.length; length++)
			assert_false(host_key_is_well_formed((struct host_key){key.blob, length}));
		free_key(key);
	}
}

static void
what_is_no_key_is_harmless(void **state ATTR_UNUSED)
{
	static const struct {
		const char *blob;
		size_t length;
	} blobs[] = {
		{NULL, 0},
		{"\0\0\0", 3},
		{"\0\0\0\0", 4},
		{"\xff\xff\xff\xff"
		 "a",
		 5},
		{"\0\0\0\x02"
		 "a",
		 5},
		{"\0\0\0\x01\x1b", 5},
		{"\0\0\0\x03"
		 "a b",
		 7},
		{"\0\0\0\x41"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		 69},
	};
	struct known_hosts *hosts = known_hosts_new();
	char name[HOST_KEY_ALGORITHM_SIZE];
	char out[HOST_KEY_FINGERPRINT_SIZE];

	known_hosts_parse(hosts, "file", HOST " " RSA, strlen(HOST " " RSA), NULL);
	for (size_t i = 0; i < ARRAY_LENGTH(blobs); i++) {
		struct host_key key = {(const unsigned char *)blobs[i].blob, blobs[i].length};
		struct err err;
		assert_string_equal(host_key_algorithm(key, name, sizeof name), "?");
		assert_int_equal(host_key_type(key), 0);
		assert_false(host_key_is_well_formed(key));
		assert_int_equal(strlen(host_key_fingerprint(key, out, sizeof out)), 50);
		assert_int_equal(known_hosts_check(hosts, HOST, 22, key).verdict,
				 HOST_KEY_OTHER_TYPE);
		assert_int_equal(known_hosts_check(hosts, "b", 22, key).verdict, HOST_KEY_UNKNOWN);
		assert_false(known_hosts_append("/nowhere", HOST, 22, key, &err));
		assert_non_null(strstr(err.text, "malformed"));
	}
	known_hosts_free(hosts);
}

static void
names_are_those_of_ssh_keygen(void **state ATTR_UNUSED)
{
	char name[KNOWN_HOSTS_NAME_SIZE];

	assert_true(known_hosts_name("Bastion", 22, name, sizeof name));
	assert_string_equal(name, "bastion");
	assert_true(known_hosts_name("Bastion", 2222, name, sizeof name));
	assert_string_equal(name, "[bastion]:2222");
	assert_true(known_hosts_name("::1", 2222, name, sizeof name));
	assert_string_equal(name, "[::1]:2222");
	assert_false(known_hosts_name("Bastion", 22, name, 7));
}

/* Each test of files has a folder of its own. */
struct folder {
	char path[64];
	char file[96]; /* in a folder below, which is not there yet */
};

static int
make_folder(void **state)
{
	struct folder *folder = memory_zero(sizeof *folder);

	(void)snprintf(folder->path, sizeof folder->path, "/tmp/test_known_hosts.XXXXXX");
	if (mkdtemp(folder->path) == NULL || chmod(folder->path, 0755) != 0)
		return -1;
	(void)snprintf(folder->file, sizeof folder->file, "%s/ssh/known_hosts", folder->path);
	*state = folder;
	return 0;
}

static int
remove_folder(void **state)
{
	struct folder *folder = *state;
	char below[96];

	(void)snprintf(below, sizeof below, "%s/ssh", folder->path);
	(void)unlink(folder->file);
	(void)rmdir(below);
	(void)rmdir(folder->path);
	free(folder);
	return 0;
}

static void
append(const struct folder *folder, const char *host, unsigned port, const char *key_text)
{
	struct host_key key = key_from(key_text);
	struct err err = {""};

	if (!known_hosts_append(folder->file, host, port, key, &err))
		fail_msg("%s", err.text);
	free_key(key);
}

static void
expect_append_to_fail(const char *path, const char *host, unsigned port, const char *text)
{
	struct host_key key = key_from(ED25519);
	struct err err = {""};

	assert_false(known_hosts_append(path, host, port, key, &err));
	if (strstr(err.text, text) == NULL)
		fail_msg("%s port %u: %s", host, port, err.text);
	free_key(key);
}

static void
write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fputs(text, file) >= 0, 1);
	assert_int_equal(fclose(file), 0);
}

static void
expect_file(const char *path, const char *text)
{
	char content[4096] = "";
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	content[fread(content, 1, sizeof content - 1, file)] = '\0';
	assert_int_equal(fclose(file), 0);
	assert_string_equal(content, text);
}

static void
appending_makes_folder_and_file(void **state)
{
	const struct folder *folder = *state;
	char below[96];
	struct stat status;

	append(folder, "Bastion.example.com", 22, ED25519);
	append(folder, HOST, 2222, RSA);
	append(folder, "2001:DB8::7", 2222, ECDSA_521);
	expect_file(folder->file, HOST " " ED25519 "\n"
				       "[" HOST "]:2222 " RSA "\n"
				       "[2001:db8::7]:2222 " ECDSA_521 "\n");
	assert_int_equal(stat(folder->file, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	(void)snprintf(below, sizeof below, "%s/ssh", folder->path);
	assert_int_equal(stat(below, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
}

static void
what_was_appended_is_known(void **state)
{
	const struct folder *folder = *state;
	struct known_hosts *hosts = known_hosts_new();
	struct host_key key = key_from(ECDSA_384);
	unsigned bad = 0;
	struct err err;

	append(folder, "fe80::1%eth0", 2222, ECDSA_384);
	assert_true(known_hosts_read(hosts, folder->file, &bad, &err));
	assert_int_equal(bad, 0);
	struct host_key_finding finding = known_hosts_check(hosts, "fe80::1%eth0", 2222, key);
	assert_int_equal(finding.verdict, HOST_KEY_KNOWN);
	assert_memory_equal(finding.place, folder->file, strlen(folder->file));
	free_key(key);
	known_hosts_free(hosts);
}

static void
appending_begins_a_line_of_its_own(void **state)
{
	const struct folder *folder = *state;
	char below[96];

	(void)snprintf(below, sizeof below, "%s/ssh", folder->path);
	assert_int_equal(mkdir(below, 0700), 0);
	write_file(folder->file, "a " RSA);
	append(folder, "b", 22, ED25519);
	expect_file(folder->file, "a " RSA "\nb " ED25519 "\n");
	write_file(folder->file, "a " RSA "\n");
	append(folder, "b", 22, ED25519);
	expect_file(folder->file, "a " RSA "\nb " ED25519 "\n");
	write_file(folder->file, "");
	append(folder, "b", 22, ED25519);
	expect_file(folder->file, "b " ED25519 "\n");
}

/* In a process of its own. Who finds the lock kept for too long, by so many others, tries again. */
static bool
append_many(const struct folder *folder, unsigned process, unsigned count)
{
	struct host_key keys[] = {key_from(ED25519), key_from(RSA)};

	for (unsigned i = 0; i < count; i++) {
		char host[32];
		struct err err = {""};
		(void)snprintf(host, sizeof host, "host-%u-%u", process, i);
		while (!known_hosts_append(folder->file, host, 22, keys[i % 2], &err)) {
			if (strstr(err.text, "locked") == NULL)
				return false;
		}
	}
	return true;
}

static void
processes_that_append_at_once_lose_nothing(void **state)
{
	enum { PROCESSES = 4, LINES = 100 };
	const struct folder *folder = *state;
	struct known_hosts *hosts = known_hosts_new();
	struct host_key key = key_from(ED25519_OTHER);
	pid_t children[PROCESSES];
	unsigned bad = 0;
	struct err err;

	append(folder, "first", 22, RSA);
	assert_int_equal(truncate(folder->file, (off_t)strlen("first " RSA)), 0);
	for (unsigned i = 0; i < PROCESSES; i++) {
		children[i] = fork();
		assert_true(children[i] >= 0);
		if (children[i] == 0)
			_exit(append_many(folder, i, LINES) ? 0 : 1);
	}
	for (unsigned i = 0; i < PROCESSES; i++) {
		int status = -1;
		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	assert_true(known_hosts_read(hosts, folder->file, &bad, &err));
	assert_int_equal(bad, 0);
	for (unsigned i = 0; i < PROCESSES * LINES; i++) {
		char host[32];
		(void)snprintf(host, sizeof host, "host-%u-%u", i / LINES, i % LINES);
		assert_int_equal(known_hosts_check(hosts, host, 22, key).verdict,
				 i % 2 == 0 ? HOST_KEY_CHANGED : HOST_KEY_OTHER_TYPE);
	}
	free_key(key);
	known_hosts_free(hosts);
}

/* As when two daemons meet the same new host. */
static void
line_that_somebody_else_has_added_is_not_repeated(void **state)
{
	const struct folder *folder = *state;

	append(folder, HOST, 22, ED25519);
	append(folder, HOST, 22, ED25519);
	expect_file(folder->file, HOST " " ED25519 "\n");
}

static void
key_is_not_added_beside_another_one(void **state)
{
	static const char *const others[] = {ED25519_OTHER, RSA};
	const struct folder *folder = *state;
	char content[1024];

	append(folder, "elsewhere", 22, RSA);
	for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
		(void)snprintf(content, sizeof content, "%s %s\n", HOST, others[i]);
		write_file(folder->file, content);
		expect_append_to_fail(folder->file, HOST, 22, "has just been added");
		expect_file(folder->file, content);
	}
}

static void
lock_that_is_kept_is_not_waited_for_for_ever(void **state)
{
	const struct folder *folder = *state;

	append(folder, "elsewhere", 22, RSA);
	int fd = open(folder->file, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	expect_append_to_fail(folder->file, HOST, 22, "locked");
	assert_int_equal(close(fd), 0);
	append(folder, HOST, 22, ED25519);
}

static void
names_that_mean_more_are_not_appended(void **state)
{
	static const char *const names[] = {
		"",       "a b",      "a,b", "*",   "a?",   "!a",
		"|1|a|b", "@revoked", "#a",  "[a]", "a\nb", "a\x7f",
	};
	const struct folder *folder = *state;
	struct stat status;

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		expect_append_to_fail(folder->file, names[i], 22, "cannot stand in");
	expect_append_to_fail(folder->file, HOST, 0, "cannot stand in");
	expect_append_to_fail(folder->file, HOST, 65536, "cannot stand in");
	assert_int_equal(stat(folder->file, &status), -1);
}

/* Permissions do not bind root, who runs tests in containers. */
static void
give_up_root(void)
{
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
}

static void
take_root_back(void)
{
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
}

static void
files_that_cannot_be_written_say_so(void **state)
{
	const struct folder *folder = *state;
	char below[128];

	append(folder, HOST, 22, RSA);
	(void)snprintf(below, sizeof below, "%s/ssh", folder->path);
	expect_append_to_fail(below, HOST, 22, "Is a directory");
	assert_int_equal(chmod(below, 0755), 0);
	assert_int_equal(chmod(folder->file, 0444), 0);
	give_up_root();
	expect_append_to_fail(folder->file, HOST, 22, "Permission denied");
	expect_append_to_fail(folder->file, HOST, 22, folder->file);
	take_root_back();
	(void)snprintf(below, sizeof below, "%s/ssh/known_hosts/file", folder->path);
	expect_append_to_fail(below, HOST, 22, "Not a directory");
	(void)snprintf(below, sizeof below, "%s/neither/nor/file", folder->path);
	expect_append_to_fail(below, HOST, 22, "No such file or directory");
	expect_file(folder->file, HOST " " RSA "\n");
}

static void
files_that_cannot_be_read_say_so(void **state)
{
	const struct folder *folder = *state;
	struct known_hosts *hosts = known_hosts_new();
	unsigned bad = 7;
	struct err err = {""};

	assert_true(known_hosts_read(hosts, folder->file, &bad, &err));
	assert_true(known_hosts_read(hosts, "/dev/null", &bad, &err));
	assert_int_equal(bad, 7);
	assert_false(known_hosts_read(hosts, folder->path, &bad, &err));
	assert_non_null(strstr(err.text, "Is a directory"));
	assert_non_null(strstr(err.text, folder->path));
	append(folder, HOST, 22, RSA);
	assert_int_equal(chmod(folder->file, 0), 0);
	give_up_root();
	assert_false(known_hosts_read(hosts, folder->file, &bad, &err));
	assert_non_null(strstr(err.text, "Permission denied"));
	take_root_back();
	known_hosts_free(hosts);
	known_hosts_free(NULL);
}

#define FILE_TEST(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts_are_those_of_openssh),
		cmocka_unit_test(bad_lines_are_counted),
		cmocka_unit_test(a_line_with_a_nul_is_bad),
		cmocka_unit_test(good_lines_are_not_counted),
		cmocka_unit_test(lines_may_be_long),
		cmocka_unit_test(a_changed_key_comes_with_its_fingerprint),
		cmocka_unit_test(a_long_file_name_keeps_the_line),
		cmocka_unit_test(types_are_those_of_the_host),
		cmocka_unit_test(files_count_alike),
		cmocka_unit_test(files_may_end_anywhere),
		cmocka_unit_test(no_flipped_bit_makes_another_key_known),
		cmocka_unit_test(keys_say_what_they_are),
		cmocka_unit_test(what_is_no_key_is_harmless),
		cmocka_unit_test(names_are_those_of_ssh_keygen),
		FILE_TEST(appending_makes_folder_and_file),
		FILE_TEST(what_was_appended_is_known),
		FILE_TEST(appending_begins_a_line_of_its_own),
		FILE_TEST(processes_that_append_at_once_lose_nothing),
		FILE_TEST(line_that_somebody_else_has_added_is_not_repeated),
		FILE_TEST(key_is_not_added_beside_another_one),
		FILE_TEST(lock_that_is_kept_is_not_waited_for_for_ever),
		FILE_TEST(names_that_mean_more_are_not_appended),
		FILE_TEST(files_that_cannot_be_written_say_so),
		FILE_TEST(files_that_cannot_be_read_say_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
