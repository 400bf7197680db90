#include "peak.h"

#include <string.h>

uint64_t q4_read_stream(const void *p, size_t n) {
    const char *at = p;
    uint64_t sums[8] = {0};
    for (size_t i = 0; i < n; i += 64, at += 64) {
        uint64_t x[8];
        __builtin_prefetch(at + Q4_PREFETCH_BYTES, 0, 2);
        memcpy(x, at, sizeof x);
        for (size_t j = 0; j < 8; j++)
            sums[j] += x[j];
    }
    uint64_t sum = 0;
    for (size_t j = 0; j < 8; j++)
        sum += sums[j];
    return sum;
}
