/* The race of addresses: who wins, and who is told to have failed. */

#include "tunnel/connector.h"

#include "base/attributes.h"
#include "base/compat.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILLERS = 4 };

struct place {
	struct event_base *base;
	int listeners[2]; /* one that never takes a connection, and one that does */
	int fillers[FILLERS];
	struct resolved addresses; /* theirs */
	struct resolved failed;
	bool is_over;
	int fd;
	enum err_kind why;
	struct resolved_address winner;
};

static int
listen_on(struct resolved *addresses, int backlog)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)},
	};
	socklen_t length = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	assert_true(resolved_add(addresses, (const struct sockaddr *)&address, length));
	return fd;
}

static int
set_up(void **state)
{
	static struct place place;

	place = (struct place){.base = event_base_new(), .fd = -1};
	assert_non_null(place.base);
	place.listeners[0] = listen_on(&place.addresses, 0);
	place.listeners[1] = listen_on(&place.addresses, 16);
	const struct resolved_address *silent = &place.addresses.items[0];
	for (int i = 0; i < FILLERS; i++) { /* its queue is full from now on */
		place.fillers[i] = compat_socket(AF_INET);
		(void)connect(place.fillers[i], (const struct sockaddr *)&silent->storage,
			      silent->length);
	}
	*state = &place;
	return 0;
}

static int
tear_down(void **state)
{
	const struct place *place = *state;

	for (int i = 0; i < FILLERS; i++)
		(void)close(place->fillers[i]);
	for (int i = 0; i < 2; i++)
		(void)close(place->listeners[i]);
	if (place->fd >= 0)
		(void)close(place->fd);
	event_base_free(place->base);
	return 0;
}

static void
on_failed(void *arg, const struct resolved_address *address)
{
	struct place *place = arg;

	place->failed.items[place->failed.count++] = *address;
}

static void
on_done(void *arg, int fd, const struct resolved_address *address, const struct err *err)
{
	struct place *place = arg;

	assert_true(fd >= 0 || err != NULL);
	place->is_over = true;
	place->fd = fd;
	if (err != NULL)
		place->why = err->kind;
	if (address != NULL)
		place->winner = *address;
}

/* Races these addresses, in this order, to the end. */
static void
race(struct place *place, const struct resolved *addresses)
{
	static const struct socket_option_list none;
	const struct connector_request request = {
		.base = place->base,
		.timeout_s = 60,
		.socket_options = &none,
		.addresses = addresses,
		.on_failed = on_failed,
	};

	assert_non_null(connector_start(&request, on_done, place));
	while (!place->is_over)
		assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
}

static void
who_is_overtaken_has_failed(void **state)
{
	struct place *place = *state;
	const struct resolved_address *silent = &place->addresses.items[0];
	const struct resolved_address *good = &place->addresses.items[1];

	race(place, &place->addresses);
	assert_true(resolved_is_same(&place->winner, good));
	assert_int_equal(place->failed.count, 1);
	assert_true(resolved_is_same(&place->failed.items[0], silent));
}

static void
who_was_not_needed_has_not_failed(void **state)
{
	struct place *place = *state;
	const struct resolved reversed = {
		.count = 2,
		.items = {place->addresses.items[1], place->addresses.items[0]},
	};

	race(place, &reversed);
	assert_true(resolved_is_same(&place->winner, &reversed.items[0]));
	assert_int_equal(place->failed.count, 0);
}

static void
who_could_not_be_asked_has_not_failed(void **state)
{
	struct place *place = *state;
	struct rlimit limit;
	int next = compat_socket(AF_INET);

	assert_true(next >= 0);
	(void)close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	const struct rlimit full = {.rlim_cur = (rlim_t)next, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
	race(place, &place->addresses);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);

	assert_int_equal(place->fd, -1);
	assert_int_equal(place->why, ERR_EXHAUSTED);
	assert_int_equal(place->failed.count, 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_is_overtaken_has_failed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_was_not_needed_has_not_failed, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(who_could_not_be_asked_has_not_failed, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
