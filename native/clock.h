// CLOCK_MONOTONIC_RAW, and the CPU's counter of time that it is made of.
#ifndef Q4_CLOCK_H
#define Q4_CLOCK_H

#include "instructions.h" // of the architecture that is built for

#include <stdbool.h>
#include <stdint.h>

// A time stamp: the CPU's counter of time (TSC, CNTVCT) where user code may read it, else nanoseconds of the clock.
// The counter is read without a barrier. clock_gettime reads it behind one, which waits for all loads before it: in a
// walk that is bound by memory that wait is longer than the reading.
typedef uint64_t q4_ticks;

uint64_t q4_now_ns(void); // CLOCK_MONOTONIC_RAW

// Whether user code may read the counter that the kernel's clock is made of, the same on all CPUs.
bool q4_counter_is_the_clock(void);

// ticking: stamps are read from the counter, not the clock.
static inline q4_ticks q4_stamp(bool ticking) { return ticking ? q4_ticks_now() : q4_now_ns(); }

// The clock and the stamp of the same moment.
void q4_clock_both(bool ticking, uint64_t *ns, q4_ticks *ticks);

#endif
