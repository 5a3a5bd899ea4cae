#ifndef CACHETUNNEL_CONTROL_JSON_H
#define CACHETUNNEL_CONTROL_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* What jansson leaves to us. */

struct evbuffer;

/* A string from anywhere: what is no UTF-8 becomes "\xNN". NULL becomes null. Returns owned, as
 * jansson's own do; NULL: no memory, which jansson's containers understand. */
json_t *json_text(const char *text);

/* Milliseconds since 1970 as "2026-05-26T19:05:04.123Z"; 0 becomes null. */
json_t *json_moment(int64_t wall_ms);

/* A member's whole number; 0 if there is none. */
long long json_number_of(const json_t *object, const char *name);

/* Appends `value` (taken) and a newline. False: no memory, or `value` is NULL for that reason. */
bool json_write(json_t *value, struct evbuffer *out);

#endif
