#include "tunnel/log_id.h"

#include "config/options.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* 64 letters, so that six random bits make one evenly. */
static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum { UNIQUE_LENGTH = 22 }; /* 132 bits, as in stunnel */

static void
write_unique(char *id)
{
	unsigned char random[UNIQUE_LENGTH] = {0};

	(void)RAND_bytes(random, sizeof random);
	for (int i = 0; i < UNIQUE_LENGTH; i++)
		id[i] = letters[random[i] % 64];
	id[UNIQUE_LENGTH] = '\0';
}

void
log_id_begin(struct log_scope *scope, const struct service_options *options)
{
	static atomic_ulong sequence;

	log_set_level(scope, options->debug.is_set ? (enum log_level)options->debug.level
						   : log_level_of(&log_main));
	switch ((enum log_id_kind)options->log_id) {
	case LOG_ID_SEQUENTIAL:
		(void)snprintf(scope->id, sizeof scope->id, "%lu",
			       atomic_fetch_add_explicit(&sequence, 1, memory_order_relaxed));
		break;
	case LOG_ID_UNIQUE:
		write_unique(scope->id);
		break;
	case LOG_ID_THREAD:
		(void)snprintf(scope->id, sizeof scope->id, "%ju",
			       (uintmax_t)(uintptr_t)pthread_self());
		break;
	case LOG_ID_PROCESS:
		(void)snprintf(scope->id, sizeof scope->id, "%ld", (long)getpid());
		break;
	}
}
