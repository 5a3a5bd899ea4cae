#ifndef CACHETUNNEL_BASE_CLOCK_H
#define CACHETUNNEL_BASE_CLOCK_H

#include <stdint.h>
#include <sys/time.h>

/* Microseconds on a clock that never jumps. For spans, not for dates. */
uint64_t clock_now_us(void);

/* So many microseconds, as timers take them. */
static inline struct timeval
clock_span(uint64_t span_us)
{
	return (struct timeval){
		.tv_sec = (time_t)(span_us / 1000000),
		.tv_usec = (suseconds_t)(span_us % 1000000),
	};
}

/* Milliseconds since 1970, as far as this machine knows. For dates, not for spans. */
int64_t clock_wall_ms(void);

#endif
