#include "ssh/known_host.h"

#include "base/memory.h"
#include "ssh/base64.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_DEFAULT = 22 };

/* Text inside a line. */
struct span {
	const char *start;
	size_t length;
};

static char
lower(char letter)
{
	return letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
}

static bool
is_blank(char letter)
{
	return letter == ' ' || letter == '\t';
}

static struct span
take_word(struct span *rest)
{
	while (rest->length > 0 && is_blank(*rest->start)) {
		rest->start++;
		rest->length--;
	}
	struct span word = {rest->start, 0};
	while (word.length < rest->length && !is_blank(word.start[word.length]))
		word.length++;
	rest->start += word.length;
	rest->length -= word.length;
	return word;
}

static bool
span_is(struct span span, const char *text)
{
	return span.length == strlen(text) && memcmp(span.start, text, span.length) == 0;
}

static bool
parse_marker(struct span word, enum known_host_marker *ret_marker)
{
	if (span_is(word, "@revoked"))
		*ret_marker = MARKER_REVOKED;
	else if (span_is(word, "@cert-authority"))
		*ret_marker = MARKER_CERT_AUTHORITY;
	else
		return false;
	return true;
}

static bool
parse_hash_part(struct span span, unsigned char out[KNOWN_HOST_HASH_SIZE])
{
	size_t length = 0;
	unsigned char *bytes = base64_decode(span.start, span.length, &length);
	bool is_good = bytes != NULL && length == KNOWN_HOST_HASH_SIZE;

	if (is_good)
		memcpy(out, bytes, KNOWN_HOST_HASH_SIZE);
	free(bytes);
	return is_good;
}

/* "|1|SALT|HASH" */
static bool
parse_hashed_name(struct known_host *entry, struct span word)
{
	static const char magic[] = "|1|";
	const size_t magic_length = sizeof magic - 1;

	if (word.length < magic_length || memcmp(word.start, magic, magic_length) != 0)
		return false;
	struct span salt = {word.start + magic_length, 0};
	struct span hash = {NULL, 0};
	hash.start = memchr(salt.start, '|', word.length - magic_length);
	if (hash.start == NULL)
		return false;
	salt.length = (size_t)(hash.start - salt.start);
	hash.start++;
	hash.length = (size_t)(word.start + word.length - hash.start);
	return parse_hash_part(salt, entry->salt) && parse_hash_part(hash, entry->hash);
}

static bool
parse_names(struct known_host *entry, struct span word)
{
	if (word.length == 0 || *word.start == '@')
		return false;
	if (*word.start == '|')
		return parse_hashed_name(entry, word);
	entry->patterns = memory_zero(word.length + 1);
	for (size_t i = 0; i < word.length; i++)
		entry->patterns[i] = lower(word.start[i]);
	return true;
}

static bool
parse_key(struct known_host *entry, struct span algorithm, struct span base64)
{
	char name[HOST_KEY_ALGORITHM_SIZE];

	entry->blob = base64_decode(base64.start, base64.length, &entry->blob_length);
	return entry->blob != NULL && host_key_is_well_formed(known_host_key(entry)) &&
	       span_is(algorithm, host_key_algorithm(known_host_key(entry), name, sizeof name));
}

/* Fills `entry` from a line that is neither empty nor a comment. */
static bool
parse_entry(struct known_host *entry, struct span line)
{
	/* To OpenSSH the line would end there, and it is no text anyway. */
	if (memchr(line.start, '\0', line.length) != NULL)
		return false;

	struct span word = take_word(&line);
	if (*word.start == '@') {
		if (!parse_marker(word, &entry->marker))
			return false;
		word = take_word(&line);
	}
	struct span algorithm = take_word(&line);
	struct span base64 = take_word(&line);
	return parse_names(entry, word) && parse_key(entry, algorithm, base64);
}

enum known_host_outcome
known_host_parse(struct known_host *entry, const char *line, size_t length)
{
	struct span text = {line, length};

	while (text.length > 0 && text.start[text.length - 1] == '\r')
		text.length--;
	struct span rest = text;
	struct span first = take_word(&rest);
	if (first.length == 0 || *first.start == '#')
		return KNOWN_HOST_EMPTY;
	if (parse_entry(entry, text))
		return KNOWN_HOST_ENTRY;
	known_host_done(entry);
	return KNOWN_HOST_BAD;
}

void
known_host_done(struct known_host *entry)
{
	free(entry->patterns);
	free(entry->blob);
	entry->patterns = NULL;
	entry->blob = NULL;
}

/* After snprintf() said `length`: lowers what is there; false if it was cut. */
static bool
finish_name(char *name, size_t size, int length)
{
	for (char *letter = name; size > 0 && *letter != '\0'; letter++)
		*letter = lower(*letter);
	return length >= 0 && (size_t)length < size;
}

static bool
format_with_port(const char *host, unsigned port, char *out, size_t size)
{
	return finish_name(out, size, snprintf(out, size, "[%s]:%u", host, port));
}

bool
known_hosts_name(const char *host, unsigned port, char *out, size_t size)
{
	if (port != PORT_DEFAULT)
		return format_with_port(host, port, out, size);
	return finish_name(out, size, snprintf(out, size, "%s", host));
}

struct host_names
host_names_of(const char *host, unsigned port)
{
	struct host_names names;

	names.count = 0;
	if (!known_hosts_name(host, port, names.items[0], sizeof names.items[0]))
		return names;
	names.count++;
	/* ssh never writes "[host]:22"; people do. */
	if (port == PORT_DEFAULT &&
	    format_with_port(host, port, names.items[1], sizeof names.items[1]))
		names.count++;
	return names;
}

/* Steps back to the last '*' only, so that no pattern takes long. */
static bool
matches_pattern(const char *name, struct span pattern)
{
	const char *next = pattern.start;
	const char *end = pattern.start + pattern.length;
	const char *after_star = NULL;
	const char *retry = NULL;

	while (*name != '\0') {
		if (next < end && *next == '*') {
			after_star = ++next;
			retry = name;
		} else if (next < end && (*next == '?' || *next == *name)) {
			next++;
			name++;
		} else if (after_star != NULL) {
			next = after_star;
			name = ++retry;
		} else {
			return false;
		}
	}
	while (next < end && *next == '*')
		next++;
	return next == end;
}

/* A negated pattern that matches goes over all others, and alone it matches nothing. */
static bool
matches_patterns(const char *patterns, const struct host_names *names)
{
	bool is_matched = false;

	for (;;) {
		bool is_negated = *patterns == '!';
		struct span pattern = {patterns + is_negated, 0};
		pattern.length = strcspn(pattern.start, ",");
		for (size_t i = 0; i < names->count; i++) {
			if (!matches_pattern(names->items[i], pattern))
				continue;
			if (is_negated)
				return false;
			is_matched = true;
		}
		if (pattern.start[pattern.length] == '\0')
			return is_matched;
		patterns = pattern.start + pattern.length + 1;
	}
}

static bool
matches_hash(const struct known_host *entry, const char *name)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned length = 0;

	return HMAC(EVP_sha1(), entry->salt, KNOWN_HOST_HASH_SIZE, (const unsigned char *)name,
		    strlen(name), hash, &length) != NULL &&
	       length == KNOWN_HOST_HASH_SIZE &&
	       memcmp(hash, entry->hash, KNOWN_HOST_HASH_SIZE) == 0;
}

bool
known_host_matches(const struct known_host *entry, const struct host_names *names)
{
	if (entry->patterns != NULL)
		return matches_patterns(entry->patterns, names);
	for (size_t i = 0; i < names->count; i++) {
		if (matches_hash(entry, names->items[i]))
			return true;
	}
	return false;
}
