#include "tunnel/backoff.h"

#include <openssl/rand.h>

enum {
	/* Doubled each time, up to the most, and spread by up to a half. A refused login will be
	 * refused again, and sshd 9.8 and later shut out who insists. */
	FIRST_PAUSE_MS = 500,
	LONGEST_PAUSE_MS = 30000,
	FIRST_REFUSED_PAUSE_MS = 5000,
	LONGEST_REFUSED_PAUSE_MS = 300000,
};

static uint64_t
pause_us(unsigned failures, bool is_refused)
{
	uint64_t pause_ms = is_refused ? FIRST_REFUSED_PAUSE_MS : FIRST_PAUSE_MS;
	uint64_t longest_ms = is_refused ? LONGEST_REFUSED_PAUSE_MS : LONGEST_PAUSE_MS;
	unsigned char random = 0;

	for (unsigned i = 1; i < failures && pause_ms < longest_ms; i++)
		pause_ms *= 2;
	pause_ms = pause_ms < longest_ms ? pause_ms : longest_ms;
	(void)RAND_bytes(&random, sizeof random);
	return pause_ms * 1000 * (192 + random / 2) / 256;
}

uint64_t
backoff_fail(struct backoff *backoff, uint64_t now_us, bool is_refused)
{
	uint64_t pause;

	if (backoff->failures == 0 || now_us >= backoff->not_before_us)
		backoff->failures++;
	pause = pause_us(backoff->failures, is_refused);
	backoff->not_before_us = now_us + pause;
	return pause;
}

void
backoff_reset(struct backoff *backoff)
{
	backoff->failures = 0;
}

uint64_t
backoff_left_us(const struct backoff *backoff, uint64_t now_us)
{
	return backoff->not_before_us > now_us ? backoff->not_before_us - now_us : 0;
}
