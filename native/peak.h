// What the machine can do at most: the two loops that kernels are measured against.
#ifndef Q4_PEAK_H
#define Q4_PEAK_H

#include <stddef.h>
#include <stdint.h>

// How far ahead of a stream the x86 kernels and q4_read_stream prefetch.
#define Q4_PREFETCH_BYTES 16384

// Reads n bytes (a multiple of 64) front to back, with prefetch as the kernels do it. The result is of no use but to
// keep the compiler from dropping the loop.
uint64_t q4_read_stream(const void *p, size_t n);

// A loop that does nothing but multiply-accumulate int8 in registers.
struct q4_int8_peak {
    const char *name;
    uint32_t features; // all of which the CPU must have
    size_t macs;       // multiply-accumulates an iteration
    void (*run)(size_t iterations);
};
// This architecture's loops, fastest first, ending with {0}.
extern const struct q4_int8_peak q4_arch_int8_peaks[];

#endif
