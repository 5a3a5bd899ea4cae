#ifndef CACHETUNNEL_STREAM_TLS_ERROR_H
#define CACHETUNNEL_STREAM_TLS_ERROR_H

#include "base/err.h"

/* Fills `err` with "FORMAT: " and the reason of OpenSSL's most telling error in this thread's
 * queue, and empties the queue. Always returns false. */
bool tls_error_set(struct err *err, const char *format, ...) ATTR_PRINTF(2, 3);

#endif
