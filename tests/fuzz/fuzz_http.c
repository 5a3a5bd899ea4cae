#include "../unit/http_talk.c" /* a fuzzer is one file */

#include <stdint.h>

/* However the bytes of a client are cut, the server understands and replies the same. */

enum { LONGEST = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char whole[HTTP_TALK_SIZE];
	char cut[HTTP_TALK_SIZE];

	if (size == 0 || size > LONGEST)
		return 0;
	http_talk(data, size, size, size, whole);
	http_talk(data, size, data[0] % size + 1, 1 + data[size / 2] % 16, cut);
	if (strcmp(whole, cut) != 0) {
		(void)fprintf(stderr, "whole: %s\ncut: %s\n", whole, cut);
		abort();
	}
	return 0;
}
