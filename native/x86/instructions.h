// Single instructions that the core uses outside kernels.
#ifndef Q4_INSTRUCTIONS_H
#define Q4_INSTRUCTIONS_H

#include <stdint.h>

// The counter that the system clock is made of, unordered.
static inline uint64_t q4_ticks_now(void) { return __builtin_ia32_rdtsc(); }
// Leaves the core to its other hardware thread, where there is one.
static inline void q4_relax(void) { __builtin_ia32_pause(); }

#endif
