#include "control/page.h"

#include <event2/buffer.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Made from page.html by the Makefile; a NUL follows it. */
extern const unsigned char page_html[];
extern const size_t page_html_size;

enum { DIGEST_SIZE = 32, BASE64_SIZE = 48 };

bool
page_write(struct evbuffer *out)
{
	return evbuffer_add_reference(out, page_html, page_html_size, NULL, NULL) == 0;
}

/* CSP level 2: of what stands between the tags, as base64. */
static bool
hash_element(const char *begin_tag, const char *end_tag, char *out)
{
	const char *page = (const char *)page_html;
	const char *begin = strstr(page, begin_tag);
	unsigned char digest[DIGEST_SIZE];

	if (begin == NULL)
		return false;
	begin += strlen(begin_tag);
	const char *end = strstr(begin, end_tag);
	if (end == NULL ||
	    EVP_Digest(begin, (size_t)(end - begin), digest, NULL, EVP_sha256(), NULL) != 1)
		return false;
	return EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest) > 0;
}

bool
page_write_policy(char out[PAGE_POLICY_SIZE])
{
	char style[BASE64_SIZE];
	char script[BASE64_SIZE];

	if (!hash_element("<style>", "</style>", style) ||
	    !hash_element("<script>", "</script>", script))
		return false;
	(void)snprintf(out, PAGE_POLICY_SIZE,
		       "default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; "
		       "connect-src 'self'; base-uri 'none'; form-action 'none'; "
		       "frame-ancestors 'none'",
		       style, script);
	return true;
}
