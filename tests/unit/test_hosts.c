#include "tunnel/hosts.h"

#include "base/attributes.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Looks `name` up in a file with this text; the addresses, with blanks between them. */
static const char *
find(const char *text, const char *name)
{
	static char found[512];
	char path[] = "/tmp/cachetunnel-hosts.XXXXXX";
	struct resolved resolved;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
	bool is_there = hosts_find(path, name, &resolved);
	(void)unlink(path);
	assert_true(is_there == (resolved.count > 0));
	found[0] = '\0';
	for (size_t i = 0; i < resolved.count; i++) {
		const struct sockaddr_storage *address = &resolved.items[i].storage;
		char name_of[INET6_ADDRSTRLEN];
		const void *bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
		if (address->ss_family == AF_INET6)
			bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
		(void)inet_ntop(address->ss_family, bytes, name_of, sizeof name_of);
		size_t used = strlen(found);
		(void)snprintf(found + used, sizeof found - used, "%s%s", used > 0 ? " " : "",
			       name_of);
	}
	return found;
}

static void
all_lines_with_the_name_count(void **state ATTR_UNUSED)
{
	static const char text[] = "# a comment\n"
				   "10.0.0.1 one two # three\n"
				   "\n"
				   "   10.0.0.2\tTWO\r\n"
				   "fd00::1 two\n"
				   "nonsense two\n"
				   "10.0.0.9\n"
				   "10.0.0.3 four";

	assert_string_equal(find(text, "one"), "10.0.0.1");
	assert_string_equal(find(text, "two"), "fd00::1 10.0.0.1 10.0.0.2");
	assert_string_equal(find(text, "three"), "");
	assert_string_equal(find(text, "four"), "10.0.0.3");
	assert_string_equal(find(text, "10.0.0.9"), "");
}

static void
localhost_is_loopback_unless_the_file_says_else(void **state ATTR_UNUSED)
{
	struct resolved resolved;

	assert_string_equal(find("", "localhost"), "::1 127.0.0.1");
	assert_string_equal(find("127.0.0.7 localhost\n", "localhost"), "127.0.0.7");
	assert_true(hosts_find("/nonexistent", "LocalHost", &resolved));
	assert_false(hosts_find("/nonexistent", "other", &resolved));
}

static void
more_addresses_than_fit_are_left_out(void **state ATTR_UNUSED)
{
	char text[4096] = "";

	for (size_t i = 0; i < 100; i++) {
		size_t used = strlen(text);
		(void)snprintf(text + used, sizeof text - used, "10.0.0.%zu many\n", i);
	}
	assert_memory_equal(find(text, "many"), "10.0.0.0 10.0.0.1 ", 18);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_lines_with_the_name_count),
		cmocka_unit_test(localhost_is_loopback_unless_the_file_says_else),
		cmocka_unit_test(more_addresses_than_fit_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
