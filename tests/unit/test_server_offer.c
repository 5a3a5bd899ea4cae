#include "ssh/server_offer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { PADDING = 5 };

static const char *const lists[] = {
	"curve25519-sha256,diffie-hellman-group14-sha256",
	"rsa-sha2-512,ecdsa-sha2-nistp256,ssh-ed25519",
	"aes128-ctr",
	"aes256-ctr",
	"hmac-sha2-256,hmac-sha1",
};

/* What a server sends first, with `before` in front of its version. */
static void
make_greeting(struct buffer *greeting, const char *before)
{
	static const char cookie[16] = "0123456789abcdef";
	static const char version[] = "SSH-2.0-OpenSSH_9.2p1\r\n";
	static const char rest[5] = {0};
	struct buffer message;

	buffer_init(&message);
	assert_true(buffer_append(&message, "\x05\x14", 2));
	assert_true(buffer_append(&message, cookie, sizeof cookie));
	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
		assert_true(wire_append_text(&message, lists[i]));
	for (int i = 0; i < 5; i++) /* MACs back, compression, languages */
		assert_true(wire_append_text(&message, ""));
	assert_true(buffer_append(&message, rest, sizeof rest));
	assert_true(buffer_append(&message, "\1\2\3\4\5", PADDING));

	buffer_init(greeting);
	assert_true(buffer_append(greeting, before, strlen(before)));
	assert_true(buffer_append(greeting, version, strlen(version)));
	assert_true(wire_append_string(greeting, buffer_head(&message), buffer_length(&message)));
	buffer_done(&message);
}

static void
expect_lists(const struct buffer *greeting, size_t length)
{
	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		struct wire_span found;
		assert_true(server_offer_find(buffer_head(greeting), length,
					      (enum server_offer_list)i, &found));
		assert_true(wire_span_is(&found, lists[i]));
	}
}

static void
test_lists_are_found(void **state)
{
	static const char *const before[] = {"", "welcome\r\n", "two\nlines, SSH- among them\n"};
	struct buffer greeting;

	(void)state;
	for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
		make_greeting(&greeting, before[i]);
		expect_lists(&greeting, buffer_length(&greeting));
		assert_true(buffer_append(&greeting, "more that follows", 17));
		expect_lists(&greeting, buffer_length(&greeting));
		buffer_done(&greeting);
	}
}

static void
test_nothing_is_found_while_something_is_missing(void **state)
{
	struct buffer greeting;
	struct wire_span found;

	(void)state;
	make_greeting(&greeting, "welcome\r\n");
	for (size_t length = 0; length < buffer_length(&greeting); length++)
		assert_false(server_offer_find(buffer_head(&greeting), length,
					       SERVER_OFFER_KEY_EXCHANGE, &found));
	buffer_done(&greeting);
}

/* Whatever a byte is changed to: nothing outside is read, which sanitizers watch. */
static void
test_damage_is_survived(void **state)
{
	struct buffer greeting;
	struct wire_span found;

	(void)state;
	make_greeting(&greeting, "");
	for (size_t i = 0; i < buffer_length(&greeting); i++) {
		unsigned char *byte = greeting.data + greeting.start + i;
		unsigned char before = *byte;
		for (int value = 0; value < 256; value += 51) {
			*byte = (unsigned char)value;
			if (server_offer_find(buffer_head(&greeting), buffer_length(&greeting),
					      SERVER_OFFER_MAC, &found))
				assert_true(found.bytes + found.length <=
					    buffer_head(&greeting) + buffer_length(&greeting));
		}
		*byte = before;
	}
	buffer_done(&greeting);
}

static void
expect_version(const char *said, const char *expected, bool is_ssh)
{
	struct wire_span found;

	assert_int_equal(server_offer_find_version(said, strlen(said), &found), is_ssh);
	assert_true(wire_span_is(&found, expected));
}

static void
test_version_is_found(void **state)
{
	(void)state;
	expect_version("SSH-2.0-x\r\n", "SSH-2.0-x", true);
	expect_version("SSH-2.0-x\n\0\0\0\x14", "SSH-2.0-x", true);
	expect_version("welcome\r\nto SSH-2.0\r\nSSH-2.0-x\r\nSSH-2.0-y\r\n", "SSH-2.0-x", true);
	expect_version("", "", false);
	expect_version("\r\nmore\r\n", "", false);
	expect_version("HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 400 Bad Request", false);
	expect_version("welcome\r\nto SSH-2.0\r\n", "welcome", false);
	expect_version("SSH\r\n", "SSH", true);
}

/* However much has come: what is there so far is never taken for another protocol. */
static void
test_version_may_come_byte_by_byte(void **state)
{
	static const char said[] = "SSH-2.0-OpenSSH_9.2p1\r\n";
	struct wire_span found;

	(void)state;
	for (size_t length = 1; length < sizeof said; length++) {
		size_t shown = length < sizeof said - 3 ? length : sizeof said - 3;
		assert_true(server_offer_find_version(said, length, &found));
		assert_int_equal(found.length, shown);
		assert_memory_equal(found.bytes, said, shown);
	}
}

/* Fed in pieces of every length, a greeting is found when its last piece is there. */
static void
test_pieces_do_not_matter(void **state)
{
	struct buffer greeting;
	struct wire_span found;

	(void)state;
	make_greeting(&greeting, "welcome\r\n");
	size_t whole = buffer_length(&greeting);
	for (size_t piece = 1; piece <= whole; piece++) {
		struct buffer arrived;
		buffer_init(&arrived);
		for (size_t at = 0; at < whole; at += piece) {
			size_t count = piece < whole - at ? piece : whole - at;
			assert_false(server_offer_find(buffer_head(&arrived),
						       buffer_length(&arrived), SERVER_OFFER_MAC,
						       &found));
			assert_true(buffer_append(&arrived, buffer_head(&greeting) + at, count));
		}
		expect_lists(&arrived, buffer_length(&arrived));
		buffer_done(&arrived);
	}
	buffer_done(&greeting);
}

static void
test_other_first_messages_are_refused(void **state)
{
	static const char other[] = "SSH-2.0-x\r\n\0\0\0\x0c\x0a\1xxxxxxxxxx";
	static const char padded[] = "SSH-2.0-x\r\n\0\0\0\2\xff\x14";
	struct wire_span found;

	(void)state;
	assert_false(server_offer_find(other, sizeof other - 1, SERVER_OFFER_HOST_KEY, &found));
	assert_false(server_offer_find(padded, sizeof padded - 1, SERVER_OFFER_HOST_KEY, &found));
}

static void
test_names_are_found_whole(void **state)
{
	static const char text[] = "rsa-sha2-512,ssh-ed25519,x";
	struct wire_span list = {.bytes = (const unsigned char *)text, .length = sizeof text - 1};
	struct wire_span none = {.bytes = (const unsigned char *)text, .length = 0};

	(void)state;
	assert_true(server_offer_has(list, "rsa-sha2-512"));
	assert_true(server_offer_has(list, "ssh-ed25519"));
	assert_true(server_offer_has(list, "x"));
	assert_false(server_offer_has(list, "ssh-ed2551"));
	assert_false(server_offer_has(list, "rsa-sha2-512,ssh-ed25519"));
	assert_false(server_offer_has(list, ""));
	assert_false(server_offer_has(none, "x"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists_are_found),
		cmocka_unit_test(test_nothing_is_found_while_something_is_missing),
		cmocka_unit_test(test_pieces_do_not_matter),
		cmocka_unit_test(test_version_is_found),
		cmocka_unit_test(test_version_may_come_byte_by_byte),
		cmocka_unit_test(test_damage_is_survived),
		cmocka_unit_test(test_other_first_messages_are_refused),
		cmocka_unit_test(test_names_are_found_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
