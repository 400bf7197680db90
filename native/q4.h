// Sizes, as every part of the native core reckons with them.
#ifndef Q4_H
#define Q4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// a * b in *out; false on overflow.
static inline bool q4_mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline size_t q4_round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }
static inline size_t q4_common_multiple(size_t a, size_t b) { // the least, of sizes of at least 1
    size_t x = a, y = b;
    while (y) {
        size_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

static inline size_t q4_min_size(size_t a, size_t b) { return a < b ? a : b; }

#endif
