#ifndef CACHETUNNEL_SYSCALL_FILTER_H
#define CACHETUNNEL_SYSCALL_FILTER_H

#include "base/err.h"

#include <stdbool.h>

/* Leaves this thread, and those that it starts, the system calls that the daemon needs: no programs,
 * no other processes. For confine_linux.c. The Makefile chooses syscall_filter_seccomp.c where
 * libseccomp is, else syscall_filter_none.c, which always fails. False with `err`. */
bool syscall_filter_start(struct err *err) ATTR_MUST_CHECK;

/* The library that does it, for --version; a static text. */
const char *syscall_filter_description(void);

#endif
