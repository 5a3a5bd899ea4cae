#include "ssh/base64.h"

#include "base/memory.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static size_t
encoded_length(size_t length)
{
	return (length + 2) / 3 * 4;
}

char *
base64_encode(const unsigned char *bytes, size_t length)
{
	char *text = memory_zero(encoded_length(length) + 1);

	(void)EVP_EncodeBlock((unsigned char *)text, bytes, (int)length);
	return text;
}

static size_t
padding_length(const char *text, size_t length)
{
	if (text[length - 1] != '=')
		return 0;
	return text[length - 2] == '=' ? 2 : 1;
}

unsigned char *
base64_decode(const char *text, size_t length, size_t *ret_length)
{
	if (length == 0 || length % 4 != 0 || length > INT_MAX / 2)
		return NULL;

	/* OpenSSL's decoder takes white space at the ends and '=' anywhere, and counts padding as
	 * bytes. What encodes back to the same text was well-formed. */
	unsigned char *bytes = memory_zero(length / 4 * 3);
	size_t bytes_length = length / 4 * 3 - padding_length(text, length);
	int decoded = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length);
	char *again = base64_encode(bytes, bytes_length);
	bool is_same = decoded >= 0 && memcmp(again, text, length) == 0;

	free(again);
	if (!is_same) {
		free(bytes);
		return NULL;
	}
	*ret_length = bytes_length;
	return bytes;
}
