// Template: byte products in registers only. Includer: vec_*.h first, then ISA.
#include "int8_peak_sums.h"
#include "kernel.h"

void Q4_JOIN(q4_int8_peak, ISA)(size_t iterations) {
    vi sums[PEAK_SUMS], a = vi_all_bytes(3), b = vi_all_bytes(5);
    UNROLLED (i, PEAK_SUMS)
        sums[i] = vi_zero();
    for (size_t n = 0; n < iterations; n++) {
        UNROLLED (i, PEAK_SUMS) {
            a = vi_keep(a); // or the products would leave the loop
            sums[i] = vi_keep(nibbles_dot(sums[i], a, b));
        }
    }
    UNROLLED (i, PEAK_SUMS - 1)
        sums[0] = vi_add(sums[0], sums[i + 1]);
    volatile vi used = sums[0];
    (void)used;
}
