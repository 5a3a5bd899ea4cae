#ifndef CACHETUNNEL_BASE_TERMINAL_H
#define CACHETUNNEL_BASE_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* Asks the person at the terminal for a secret, without showing what is typed. Only while nobody
 * else needs the thread: at start. */

/* Writes `question`, reads one line into `out`. False when there is no terminal on standard input,
 * nothing was typed, or the line does not fit. */
bool terminal_ask_secret(const char *question, char *out, size_t size);

#endif
