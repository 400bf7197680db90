// What the kernel templates share. Includer: vec_*.h first.
#ifndef Q4_X86_KERNEL_H
#define Q4_X86_KERNEL_H

#include "../peak.h"
#include "../types/iq4.h"

// Loops over arrays of vectors must vanish, or the arrays live in memory; which those of products may do in
// sanitized builds, whose checks of every access would take the compiler minutes.
#if defined MATMUL_FILE && (defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__)
#define ROLLED
#define UNROLL
#elif defined __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define UNROLLED(I, N) UNROLL for (size_t I = 0; I < (N); I++)

#define ALWAYS_INLINE inline __attribute__((always_inline))

// A GEMV kernel's panel meets all tokens of the task, few at a time, so that a call reads weights from memory once.
// FUNCTION(panel, task, row, token, n) is compiled for every n, whose loops over tokens vanish.
#define GEMV_TOKENS 4
#ifdef ROLLED
#define WITH_CONSTANT(FUNCTION, PANEL, TASK, ROW) FUNCTION(PANEL, TASK, ROW, token, n)
#else
#define WITH_CONSTANT(FUNCTION, PANEL, TASK, ROW)                                                                      \
    if (n == 1)                                                                                                        \
        FUNCTION(PANEL, TASK, ROW, token, 1);                                                                          \
    else if (n == 2)                                                                                                   \
        FUNCTION(PANEL, TASK, ROW, token, 2);                                                                          \
    else if (n == 3)                                                                                                   \
        FUNCTION(PANEL, TASK, ROW, token, 3);                                                                          \
    else                                                                                                               \
        FUNCTION(PANEL, TASK, ROW, token, 4)
#endif
#define EACH_FEW_TOKENS(FUNCTION, PANEL, TASK, ROW)                                                                    \
    for (size_t token = 0, n; token < (TASK)->n_tokens; token += n) {                                                  \
        n = few_tokens((TASK)->n_tokens - token);                                                                      \
        WITH_CONSTANT(FUNCTION, PANEL, TASK, ROW);                                                                     \
    }

// Of so many, in parts of about one size.
static inline size_t few_tokens(size_t n) {
    size_t parts = (n + GEMV_TOKENS - 1) / GEMV_TOKENS;
    return (n + parts - 1) / parts;
}

// Weights come once from memory, faster than the hardware prefetcher follows; into L2, where they do not push the
// activations out of L1. Addresses behind the weights are harmless. Always inline: to gcc 12 a function that does
// nothing but prefetch has no effect, and it drops the calls.
static ALWAYS_INLINE void prefetch_ahead(const void *p, size_t bytes) {
    UNROLLED (line, (bytes + 63) / 64)
        _mm_prefetch((const char *)p + Q4_PREFETCH_BYTES + line * 64, _MM_HINT_T1);
}

// A line that will be written, for which it must belong to this core. (The compilers' own needs a flag of its own.)
static inline void prefetch_to_write(const void *p) { __asm__ volatile("prefetchw %0" : : "m"(*(const char *)p)); }

// 4 bytes of activations as the lane of a broadcast.
static inline int32_t group(const void *p) {
    int32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

// Three planes of a Q6_K sub-block (layouts.h) to four groups of 4 columns, 0 .. 63.
static inline void q6_k_groups(const uint8_t *w, vi *a, vi *b, vi *c, vi *d) {
    vi p = vi_load(w), q = vi_load(w + 64), r = vi_load(w + 128), six = vi_all_bytes(0x3f);
    vi low = vi_and(vi_right(p, 6), vi_all_bytes(0x03)), middle = vi_and(vi_right(q, 4), vi_all_bytes(0x0c));
    *a = vi_and(p, six);
    *b = vi_and(q, six);
    *c = vi_and(r, six);
    *d = vi_or(vi_or(low, middle), vi_and(vi_right(r, 2), vi_all_bytes(0x30)));
}

// Five planes, 64 bytes apart, of 5-bit weights (layouts.h) to eight groups of 4 columns, 0 .. 31.
static ALWAYS_INLINE void five_bit_groups(const uint8_t *w, vi g[8]) {
    vi p[5], low = vi_all_bytes(0x07), high = vi_all_bytes(0x18);
    UNROLLED (c, 5) {
        p[c] = vi_load(w + c * 64);
        g[c] = vi_and(p[c], vi_all_bytes(0x1f));
    }
    g[5] = vi_or(vi_and(vi_right(p[0], 5), low), vi_and(vi_right(p[1], 3), high));
    g[6] = vi_or(vi_and(vi_right(p[2], 5), low), vi_and(vi_right(p[3], 3), high));
    vi fourth = vi_and(vi_right(p[3], 2), vi_all_bytes(0x08)), fifth = vi_and(vi_right(p[1], 1), vi_all_bytes(0x10));
    g[7] = vi_or(vi_or(vi_and(vi_right(p[4], 5), low), fourth), fifth);
}

// The values of 4-bit indices as unsigned bytes: w + 128.
static ALWAYS_INLINE vi iq4_table(void) {
    uint8_t table[16];
    UNROLLED (i, 16)
        table[i] = (uint8_t)(q4_iq4_values[i] + 128);
    return vi_repeat(table);
}

// n floats of a panel's accumulators to y.
static inline void store_rows(float *y, size_t n, const vf *acc, size_t vectors) {
    UNROLLED (v, vectors)
        if (n > v * LANES)
            vf_store_first(y + v * LANES, n - v * LANES, acc[v]);
}

#endif
