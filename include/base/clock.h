#ifndef CACHETUNNEL_BASE_CLOCK_H
#define CACHETUNNEL_BASE_CLOCK_H

#include <stdint.h>

/* Microseconds on a clock that never jumps. For spans, not for dates. */
uint64_t clock_now_us(void);

/* Milliseconds since 1970, as far as this machine knows. For dates, not for spans. */
int64_t clock_wall_ms(void);

#endif
