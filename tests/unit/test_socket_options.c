#include "config/socket_options.h"

#include "base/compat.h"
#include "config/options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cmocka.h>

static const struct option_row row = {.name = "socket", .type = &option_type_socket};

static void
flags_and_numbers_become_ints(void **state ATTR_UNUSED)
{
	static const struct {
		const char *text;
		enum socket_side side;
		int level;
		int option;
		int value;
	} cases[] = {
		{"a:SO_REUSEADDR=1", SOCKET_SIDE_ACCEPT, SOL_SOCKET, SO_REUSEADDR, 1},
		{"l:SO_REUSEADDR=yes", SOCKET_SIDE_LOCAL, SOL_SOCKET, SO_REUSEADDR, 1},
		{"r:TCP_NODELAY=0", SOCKET_SIDE_REMOTE, IPPROTO_TCP, TCP_NODELAY, 0},
		{"R : tcp_nodelay = NO", SOCKET_SIDE_REMOTE, IPPROTO_TCP, TCP_NODELAY, -1},
		{"r: tcp_nodelay = NO", SOCKET_SIDE_REMOTE, IPPROTO_TCP, TCP_NODELAY, 0},
		{"r:SO_DEBUG=no", SOCKET_SIDE_REMOTE, SOL_SOCKET, SO_DEBUG, 0},
		{"r:SO_DONTROUTE=no", SOCKET_SIDE_REMOTE, SOL_SOCKET, SO_DONTROUTE, 0},
		{"r:SO_KEEPALIVE=yes", SOCKET_SIDE_REMOTE, SOL_SOCKET, SO_KEEPALIVE, 1},
		{"r:SO_OOBINLINE=1", SOCKET_SIDE_REMOTE, SOL_SOCKET, SO_OOBINLINE, 1},
		{"l:SO_RCVBUF=65536", SOCKET_SIDE_LOCAL, SOL_SOCKET, SO_RCVBUF, 65536},
		{"l:SO_SNDBUF=65536", SOCKET_SIDE_LOCAL, SOL_SOCKET, SO_SNDBUF, 65536},
		{"l:SO_RCVLOWAT=2", SOCKET_SIDE_LOCAL, SOL_SOCKET, SO_RCVLOWAT, 2},
		{"l:SO_SNDLOWAT=2", SOCKET_SIDE_LOCAL, SOL_SOCKET, SO_SNDLOWAT, 2},
		{"r:TCP_KEEPCNT=3", SOCKET_SIDE_REMOTE, IPPROTO_TCP, COMPAT_TCP_KEEPCNT, 3},
		{"r:TCP_KEEPIDLE=60", SOCKET_SIDE_REMOTE, IPPROTO_TCP, COMPAT_TCP_KEEPIDLE, 60},
		{"r:TCP_KEEPINTVL=5", SOCKET_SIDE_REMOTE, IPPROTO_TCP, COMPAT_TCP_KEEPINTVL, 5},
		{"r:TCP_MAXSEG=1200", SOCKET_SIDE_REMOTE, IPPROTO_TCP, TCP_MAXSEG, 1200},
		{"r:IP_TOS=16", SOCKET_SIDE_REMOTE, IPPROTO_IP, IP_TOS, 16},
		{"r:IP_TTL=9", SOCKET_SIDE_REMOTE, IPPROTO_IP, IP_TTL, 9},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct socket_option_list list = {0};
		struct err err = {""};
		bool is_good = option_set(&row, cases[i].text, (struct location){"f", 3}, &list,
					  &err);
		if (cases[i].value < 0) {
			assert_false(is_good);
			continue;
		}
		if (!is_good)
			fail_msg("%s: %s", cases[i].text, err.text);
		int value = -1;
		assert_int_equal(list.count, 1);
		assert_int_equal(list.items[0].size, sizeof value);
		memcpy(&value, list.items[0].value, sizeof value);
		assert_int_equal(value, cases[i].value);
		assert_int_equal(list.items[0].side, cases[i].side);
		assert_int_equal(list.items[0].level, cases[i].level);
		assert_int_equal(list.items[0].option, cases[i].option);
		assert_int_equal(list.items[0].at.line, 3);
		option_type_socket.clear(&list);
	}
}

static void
lingering_is_on_or_off_with_seconds(void **state ATTR_UNUSED)
{
	struct socket_option_list list = {0};
	struct linger linger;

	assert_true(option_set(&row, "l:SO_LINGER=1:60", (struct location){0}, &list, NULL));
	assert_int_equal(list.items[0].size, sizeof linger);
	memcpy(&linger, list.items[0].value, sizeof linger);
	assert_int_equal(linger.l_onoff, 1);
	assert_int_equal(linger.l_linger, 60);
	option_type_socket.clear(&list);
}

static void
times_are_seconds_and_perhaps_microseconds(void **state ATTR_UNUSED)
{
	struct socket_option_list list = {0};
	struct timeval time;

	assert_true(option_set(&row, "r:SO_RCVTIMEO=5:250000", (struct location){0}, &list, NULL));
	assert_true(option_set(&row, "r:SO_SNDTIMEO=7", (struct location){0}, &list, NULL));
	assert_int_equal(list.count, 2);
	memcpy(&time, list.items[0].value, sizeof time);
	assert_int_equal(time.tv_sec, 5);
	assert_int_equal(time.tv_usec, 250000);
	memcpy(&time, list.items[1].value, sizeof time);
	assert_int_equal(time.tv_sec, 7);
	assert_int_equal(time.tv_usec, 0);
	option_type_socket.clear(&list);
}

static void
options_of_linux_say_so_elsewhere(void **state ATTR_UNUSED)
{
	struct socket_option_list list = {0};
	struct err err = {""};

	if (option_set(&row, "a:SO_BINDTODEVICE=lo", (struct location){0}, &list, &err)) {
		assert_int_equal(list.items[0].option, COMPAT_SO_BINDTODEVICE);
		assert_string_equal((const char *)list.items[0].value, "lo");
		assert_int_equal(list.items[0].size, 3);
		option_type_socket.clear(&list);
	} else {
		assert_int_equal(COMPAT_SO_BINDTODEVICE, -1);
		assert_non_null(strstr(err.text, "this system has no SO_BINDTODEVICE"));
	}
	if (option_set(&row, "a:IP_FREEBIND=yes", (struct location){0}, &list, &err)) {
		assert_int_equal(list.items[0].option, COMPAT_IP_FREEBIND);
		option_type_socket.clear(&list);
	} else {
		assert_non_null(strstr(err.text, "this system has no IP_FREEBIND"));
	}
}

static void
bad_values_say_what_is_wrong(void **state ATTR_UNUSED)
{
	static const struct {
		const char *text;
		const char *error;
	} bad[] = {
		{"", "must be a (accepting"},
		{"a", "must be a (accepting"},
		{"a:", "must be a (accepting"},
		{"x:TCP_NODELAY=1", "must be a (accepting"},
		{"TCP_NODELAY=1", "must be a (accepting"},
		{"r:TCP_NODELAY", "must be a (accepting"},
		{"r:TCP_NODELY=1", "must name a socket option"},
		{"r:TCP_NODELAY=2", "must give TCP_NODELAY yes or no"},
		{"r:SO_KEEPALIVE=", "must give SO_KEEPALIVE yes or no"},
		{"r:SO_RCVBUF=-1", "must give SO_RCVBUF a whole number"},
		{"r:SO_RCVBUF=99999999999", "must give SO_RCVBUF a whole number"},
		{"r:SO_LINGER=1", "must give SO_LINGER 0 or 1, a colon"},
		{"r:SO_LINGER=2:1", "must give SO_LINGER 0 or 1, a colon"},
		{"r:SO_LINGER=1:x", "must give SO_LINGER 0 or 1, a colon"},
		{"r:SO_RCVTIMEO=1:1000000", "must give SO_RCVTIMEO SECONDS or"},
		{"a:SO_BINDTODEVICE=", "SO_BINDTODEVICE"},
		{"a:SO_BINDTODEVICE=interface-name16", "SO_BINDTODEVICE"},
	};
	struct socket_option_list list = {0};

	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		struct err err = {""};
		assert_false(option_set(&row, bad[i].text, (struct location){0}, &list, &err));
		if (strstr(err.text, bad[i].error) == NULL)
			fail_msg("%s: %s", bad[i].text, err.text);
	}
	assert_int_equal(list.count, 0);
	assert_null(list.items);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_and_numbers_become_ints),
		cmocka_unit_test(lingering_is_on_or_off_with_seconds),
		cmocka_unit_test(times_are_seconds_and_perhaps_microseconds),
		cmocka_unit_test(options_of_linux_say_so_elsewhere),
		cmocka_unit_test(bad_values_say_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
