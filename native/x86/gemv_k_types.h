// GEMV of all types with super-blocks. Includer: vec_*.h first, then ISA.
#include "unpack_k.h"

// Start plus the products of n groups with 4 n activations: weights of at most 4 bits, 6 bits, any bytes.

static ALWAYS_INLINE vi dot_tiny(const vi *g, size_t n, const int8_t *q, int32_t start) {
    vi sum = nibbles_start(start);
    UNROLLED (i, n)
        sum = nibbles_dot(sum, g[i], vi_all(group(q + 4 * i)));
    return nibbles_sum(sum, start);
}

static ALWAYS_INLINE vi dot_small(const vi *g, size_t n, const int8_t *q, int32_t start) {
    vi sum = vi_all(start);
    UNROLLED (i, n / 2)
        sum = dot4_pair(sum, g[2 * i], vi_all(group(q + 8 * i)), g[2 * i + 1], vi_all(group(q + 8 * i + 4)));
    return sum;
}

static ALWAYS_INLINE vi dot_bytes(const vi *g, size_t n, const int8_t *q, int32_t start) {
    vi sum = bytes_start(start);
    UNROLLED (i, n)
        sum = bytes_dot(sum, g[i], vi_all(group(q + 4 * i)));
    return sum;
}

#define TYPE q2_k
#define SUB 16
#define DOT dot_tiny
#define OFFSET 0
#define MINIMA
#include "gemv_k.h"

#define TYPE q3_k
#define SUB 16
#define DOT dot_tiny
#define OFFSET 4
#include "gemv_k.h"

#define TYPE q4_k
#define SUB 32
#define DOT dot_tiny
#define OFFSET 0
#define MINIMA
#include "gemv_k.h"

#define TYPE q5_k
#define SUB 32
#define DOT dot_small
#define OFFSET 0
#define MINIMA
#include "gemv_k.h"

#define TYPE q6_k
#define SUB 16
#define DOT dot_small
#define OFFSET 32
#include "gemv_k.h"

#define TYPE iq4_xs
#define SUB 32
#define DOT dot_bytes
#define OFFSET 128
#include "gemv_k.h"
