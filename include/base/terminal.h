#ifndef CACHETUNNEL_BASE_TERMINAL_H
#define CACHETUNNEL_BASE_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The terminal, where there is one. A secret is asked for without showing what is typed, and only
 * while nobody else needs the thread: at start.
 */

/* Writes `question`, reads one line into `out`. False when there is no terminal on standard input,
 * nothing was typed, or the line does not fit. */
bool terminal_ask_secret(const char *question, char *out, size_t size);

/* Whether standard output is a terminal that takes colours, and nobody asked for none (NO_COLOR,
 * https://no-color.org). */
bool terminal_has_colours(void);

#endif
