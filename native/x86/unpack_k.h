// Super-blocks (layouts.h) taken apart: scales and minima of sub-blocks, and groups of 4 columns as bytes. Includer:
// vec_*.h first.
#ifndef Q4_X86_UNPACK_K_H
#define Q4_X86_UNPACK_K_H

#include "kernel.h"
#include "layouts.h"

// [sub-block][row]
struct k_scales {
    int8_t scale[16][K_ROWS], minimum[16][K_ROWS];
} __attribute__((aligned(64)));

// Two sub-blocks (32 bytes) at a time, in AVX2 for every ISA.
static ALWAYS_INLINE __m256i load_two(const uint8_t from[2][K_ROWS]) {
    return _mm256_loadu_si256((const __m256i *)from);
}
static ALWAYS_INLINE void store_two(int8_t to[2][K_ROWS], __m256i x) { _mm256_store_si256((__m256i *)to, x); }
// The bits of `mask` of every byte, `right` bits to the right.
static ALWAYS_INLINE __m256i bits_of(__m256i x, int right, int mask) {
    return _mm256_and_si256(_mm256_srli_epi16(x, right), _mm256_set1_epi8((char)mask));
}
static ALWAYS_INLINE __m256i minus_32(__m256i low, __m256i high) {
    return _mm256_sub_epi8(_mm256_or_si256(low, high), _mm256_set1_epi8(32));
}

static ALWAYS_INLINE void scales_q2_k(struct k_scales *to, const panel_q2_k *p) {
    UNROLLED (i, 8) {
        __m256i both = load_two(p->scales + 2 * i);
        store_two(to->scale + 2 * i, bits_of(both, 0, 15));
        store_two(to->minimum + 2 * i, bits_of(both, 4, 15));
    }
}

static ALWAYS_INLINE void scales_q3_k(struct k_scales *to, const panel_q3_k *p) {
    UNROLLED (i, 8) { // sub-blocks 2 i and 2 i + 1
        __m256i low = bits_of(load_two(p->scales + 2 * i % 8), (int)(i / 4) * 4, 15);
        __m256i high = bits_of(load_two(p->scales + 8 + 2 * i % 4), (int)(i / 2) * 2, 3);
        store_two(to->scale + 2 * i, minus_32(low, _mm256_slli_epi16(high, 4)));
    }
}

// Q4_K's and Q5_K's (types/super.h)
static ALWAYS_INLINE void scales_6_bits(struct k_scales *to, const uint8_t packed[12][K_ROWS]) {
    UNROLLED (i, 2) {
        __m256i scale = load_two(packed + 2 * i), minimum = load_two(packed + 4 + 2 * i);
        __m256i both = load_two(packed + 8 + 2 * i);
        store_two(to->scale + 2 * i, bits_of(scale, 0, 63));
        store_two(to->minimum + 2 * i, bits_of(minimum, 0, 63));
        store_two(to->scale + 4 + 2 * i, _mm256_or_si256(bits_of(both, 0, 15), bits_of(scale, 2, 48)));
        store_two(to->minimum + 4 + 2 * i, _mm256_or_si256(bits_of(both, 4, 15), bits_of(minimum, 2, 48)));
    }
}
static ALWAYS_INLINE void scales_q4_k(struct k_scales *to, const panel_q4_k *p) { scales_6_bits(to, p->scales); }
static ALWAYS_INLINE void scales_q5_k(struct k_scales *to, const panel_q5_k *p) { scales_6_bits(to, p->scales); }

static ALWAYS_INLINE void scales_q6_k(struct k_scales *to, const panel_q6_k *p) {
    memcpy(to->scale, p->scales, sizeof p->scales);
}

static ALWAYS_INLINE void scales_iq4_xs(struct k_scales *to, const panel_iq4_xs *p) {
    __m256i nibbles = load_two(p->scales + 4), zero = _mm256_setzero_si256();
    UNROLLED (i, 2) {
        __m256i scale = load_two(p->scales + 2 * i);
        store_two(to->scale + 2 * i, minus_32(bits_of(scale, 0, 63), zero));
        store_two(to->scale + 4 + 2 * i, minus_32(bits_of(nibbles, (int)i * 4, 15), bits_of(scale, 2, 48)));
    }
}

// 32 columns (`part` of 8) of LANES rows from row r on, in eight groups.

static ALWAYS_INLINE void groups_q2_k(vi g[8], const panel_q2_k *p, size_t part, size_t r) {
    vi mask = vi_all_bytes(3);
    UNROLLED (i, 8)
        g[i] = vi_and(vi_right(vi_load(p->q[part][i / 4] + 4 * r), (int)i % 4 * 2), mask);
}

static ALWAYS_INLINE void groups_q3_k(vi g[8], const panel_q3_k *p, size_t part, size_t r) {
    vi w[3], mask = vi_all_bytes(7), low = vi_all_bytes(3), third = vi_all_bytes(4);
    UNROLLED (i, 3) {
        w[i] = vi_load(p->q[part][i] + 4 * r);
        g[2 * i] = vi_and(w[i], mask);
        g[2 * i + 1] = vi_and(vi_right(w[i], 3), mask);
    }
    g[6] = vi_or(vi_and(vi_right(w[0], 6), low), vi_and(vi_right(w[1], 4), third));
    g[7] = vi_or(vi_and(vi_right(w[2], 6), low), vi_and(vi_right(w[1], 5), third));
}

static ALWAYS_INLINE void nibble_groups(vi g[8], const uint8_t q[4][64], size_t r) {
    vi mask = vi_all_bytes(15);
    UNROLLED (c, 4) {
        vi pair = vi_load(q[c] + 4 * r);
        g[c] = vi_and(pair, mask);
        g[4 + c] = vi_and(vi_right(pair, 4), mask);
    }
}

static ALWAYS_INLINE void groups_q4_k(vi g[8], const panel_q4_k *p, size_t part, size_t r) {
    nibble_groups(g, p->q[part], r);
}

static ALWAYS_INLINE void groups_q5_k(vi g[8], const panel_q5_k *p, size_t part, size_t r) {
    five_bit_groups(p->q[part][0] + 4 * r, g);
}

static ALWAYS_INLINE void groups_q6_k(vi g[8], const panel_q6_k *p, size_t part, size_t r) {
    UNROLLED (i, 2)
        q6_k_groups(p->q[part][i][0] + 4 * r, &g[4 * i], &g[4 * i + 1], &g[4 * i + 2], &g[4 * i + 3]);
}

static ALWAYS_INLINE void groups_iq4_xs(vi g[8], const panel_iq4_xs *p, size_t part, size_t r) {
    vi table = iq4_table();
    nibble_groups(g, p->q[part], r);
    UNROLLED (i, 8)
        g[i] = vi_look_up(table, g[i]);
}

#endif
