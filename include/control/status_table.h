#ifndef CACHETUNNEL_CONTROL_STATUS_TABLE_H
#define CACHETUNNEL_CONTROL_STATUS_TABLE_H

#include <jansson.h>
#include <stdbool.h>

/* The status, which a daemon told in JSON, for a person at a terminal. */

/* Prints it on standard output. `status` (borrowed) comes from outside: what is missing in it is
 * left out, and nothing in it moves a cursor. */
void status_table_print(const json_t *status, bool is_coloured);

#endif
