#include "ssh/server_offer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What an SSH server says first. It arrives in pieces: what is found in the beginning stays where
 * it was when more follows, and what is missing is never taken for there. */

enum { LONGEST = 2048, CUTS = 128 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool is_true)
{
	if (!is_true)
		abort();
}

/* In memory of exactly this length, so that a byte beyond is noticed. */
static bool
find_in_copy(const uint8_t *data, size_t length, enum server_offer_list which, size_t *ret_at,
	     size_t *ret_length)
{
	struct wire_span list = {.bytes = NULL, .length = 0};
	uint8_t *copy = malloc(length > 0 ? length : 1);

	expect(copy != NULL);
	memcpy(copy, data, length);
	bool is_found = server_offer_find(copy, length, which, &list);
	if (is_found) {
		expect(list.bytes >= copy && list.bytes + list.length <= copy + length);
		*ret_at = (size_t)(list.bytes - copy);
		*ret_length = list.length;
		(void)server_offer_has(list, "ssh-ed25519");
		(void)server_offer_has(list, "");
	}
	free(copy);
	return is_found;
}

/* Every name of a list that was found is in it. */
static void
expect_names(struct wire_span list)
{
	char name[LONGEST + 1];

	for (size_t from = 0; from < list.length;) {
		size_t end = from;
		while (end < list.length && list.bytes[end] != ',')
			end++;
		memcpy(name, list.bytes + from, end - from);
		name[end - from] = '\0';
		if (strlen(name) == end - from) /* a NUL ends what may be asked for */
			expect(server_offer_has(list, name));
		from = end + 1;
	}
}

static void
expect_same_for_every_cut(const uint8_t *data, size_t size, enum server_offer_list which)
{
	size_t whole_at = 0;
	size_t whole_length = 0;
	bool is_found = find_in_copy(data, size, which, &whole_at, &whole_length);
	bool was_found = false;

	if (is_found)
		expect_names((struct wire_span){data + whole_at, whole_length});
	for (size_t length = 0; length < size; length += 1 + size / CUTS) {
		size_t at = 0;
		size_t found_length = 0;
		bool is_found_now = find_in_copy(data, length, which, &at, &found_length);
		expect(is_found_now || !was_found);
		expect(!is_found_now ||
		       (is_found && at == whole_at && found_length == whole_length));
		was_found = is_found_now;
	}
}

static void
expect_version(const uint8_t *data, size_t size)
{
	struct wire_span line;
	struct wire_span list;
	bool is_ssh = server_offer_find_version(data, size, &line);

	expect(line.length == 0 || (line.bytes >= data && line.bytes + line.length <= data + size &&
				    memchr(line.bytes, '\n', line.length) == NULL));
	expect(is_ssh || !server_offer_find(data, size, SERVER_OFFER_KEY_EXCHANGE, &list));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > LONGEST)
		return 0;
	expect_version(data, size);
	for (int which = SERVER_OFFER_KEY_EXCHANGE; which <= SERVER_OFFER_MAC; which++)
		expect_same_for_every_cut(data, size, (enum server_offer_list)which);
	return 0;
}
