#ifndef CACHETUNNEL_BASE_LOG_FILE_H
#define CACHETUNNEL_BASE_LOG_FILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The file that a log is written to: opened, written, and replaced by another one, whoever moves it
 * and however full the disk is. For the one thread that writes (log.c), which tells what went wrong.
 */

struct log_file {
	int fd;                  /* owned; -1: none */
	unsigned long unwritten; /* lines that it had no room for */
};

/* Opens `path` for appending, or emptied first. Returns owned; -1 with `err`. */
int log_file_open(const char *path, bool overwrite, struct err *err);

/* Writes all of it, waiting where the descriptor is a slow pipe. False: not all could be written. */
bool log_file_write_all(int fd, const char *text, size_t length);

/* The same with a line, which is counted if it cannot be written. Harmless without a file. */
void log_file_write(struct log_file *file, const char *text, size_t length);

/* Once there is room again: how many lines were lost, which is forgotten. 0: none, or still no
 * room. */
unsigned long log_file_take_unwritten(struct log_file *file);

/* Goes on with `fd` (taken; -1: none). */
void log_file_switch(struct log_file *file, int fd);

/* Goes on with what is opened by `path` now; on failure, with what is open. */
bool log_file_reopen(struct log_file *file, const char *path, bool overwrite,
		     struct err *err) ATTR_MUST_CHECK;

#endif
