#include "config/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *text;
	const char *host;
	const char *port;
	const char *shown;
} good[] = {
	{"6379", NULL, "6379", "localhost:6379"},
	{"redis", NULL, "redis", "localhost:redis"},
	{"127.0.0.1:6379", "127.0.0.1", "6379", "127.0.0.1:6379"},
	{"Master.demo.use1.cache.amazonaws.com:6379", "Master.demo.use1.cache.amazonaws.com",
	 "6379", "Master.demo.use1.cache.amazonaws.com:6379"},
	{"a_b:redis-s", "a_b", "redis-s", "a_b:redis-s"},
	{":::6379", "::", "6379", "[::]:6379"},
	{"::1:6379", "::1", "6379", "[::1]:6379"},
	{"[::1]:1", "::1", "1", "[::1]:1"},
	{"[fe80::1%eth0]:65535", "fe80::1%eth0", "65535", "[fe80::1%eth0]:65535"},
};

static void
hosts_and_ports_are_split_at_the_last_colon(void **state ATTR_UNUSED)
{
	for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
		struct address address;
		struct err err = {""};
		char shown[128];
		if (!address_parse(good[i].text, &address, &err))
			fail_msg("%s: %s", good[i].text, err.text);
		assert_false(address_is_unix(&address));
		if (good[i].host == NULL) {
			assert_null(address.host);
			assert_string_equal(address_host(&address), "localhost");
		} else {
			assert_string_equal(address.host, good[i].host);
		}
		assert_string_equal(address.port, good[i].port);
		assert_string_equal(address_format(&address, shown, sizeof shown), good[i].shown);
		address_done(&address);
	}
}

static void
a_path_is_a_unix_socket(void **state ATTR_UNUSED)
{
	struct address address;
	char shown[64];

	assert_true(address_parse("/run/redis:1.sock", &address, NULL));
	assert_true(address_is_unix(&address));
	assert_null(address.port);
	assert_string_equal(address_format(&address, shown, sizeof shown), "/run/redis:1.sock");
	address_done(&address);
	assert_null(address.path);
}

static void
bad_addresses_say_what_is_wrong(void **state ATTR_UNUSED)
{
	static const struct {
		const char *text;
		const char *error;
	} bad[] = {
		{"", "empty"},
		{"0", "between 1 and 65535"},
		{"host:0", "between 1 and 65535"},
		{"host:65536", "between 1 and 65535"},
		{"host:99999999999999999999", "between 1 and 65535"},
		{"host:", "has no port"},
		{":6379", "has no host"},
		{"redis.example.com", "does not end with a port"},
		{"host:63 79", "does not end with a port"},
		{"host:1 ; comment", "does not end with a port"},
		{"a b:1", "neither a name nor an IP"},
		{"*:6379", "0.0.0.0"},
		{"a:b:1", "no IPv6 address"},
		{"[::1:6379", "no IPv6 address"},
		{"[host]:1", "brackets"},
		{"[::1]", "no IPv6 address"},
		{"[]:1", "neither a name nor an IP"},
		{"::1%:1", "no IPv6 address"},
		{"h\xc3\xb6st:1", "neither a name nor an IP"},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		struct address address;
		struct err err = {""};
		assert_false(address_parse(bad[i].text, &address, &err));
		if (strstr(err.text, bad[i].error) == NULL)
			fail_msg("%s: %s", bad[i].text, err.text);
	}
}

static void
overlong_parts_are_refused(void **state ATTR_UNUSED)
{
	char text[400];
	struct address address;
	struct err err;

	memset(text, 'a', sizeof text);
	strcpy(text + 300, ":1");
	assert_false(address_parse(text, &address, &err));
	assert_non_null(strstr(err.text, "longer than"));
	text[0] = '/';
	assert_false(address_parse(text, &address, &err));
	assert_non_null(strstr(err.text, "longer than"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_and_ports_are_split_at_the_last_colon),
		cmocka_unit_test(a_path_is_a_unix_socket),
		cmocka_unit_test(bad_addresses_say_what_is_wrong),
		cmocka_unit_test(overlong_parts_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
