// The vector operations of the kernel templates, in AVX2 with FMA and F16C; with AVX-VNNI where vec_avxvnni.h says so.
// Q8_0 weights are stored as w + 128. VPMADDUBSW would saturate on them, so AVX2 goes back to w and multiplies |w| by
// the activation with w's sign.
#ifndef Q4_X86_VEC_AVX2_H
#define Q4_X86_VEC_AVX2_H

#include "../matmul/matmul.h"

#include <immintrin.h>
#include <string.h>

#define LANES 8
#define GEMM_TOKENS 3  // at once: 2 x 3 int32 and as many fp32 accumulators fill the 16 registers
#define GEMV_VECTORS 1 // of rows at once

typedef __m256i vi;
typedef __m256 vf;

static inline vi vi_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void vi_store(void *p, vi a) { _mm256_storeu_si256((__m256i *)p, a); }
// Stays in a register: gcc would rather load it again at each use.
static inline vi vi_keep(vi a) {
    __asm__("" : "+x"(a));
    return a;
}
static inline vi vi_zero(void) { return _mm256_setzero_si256(); }
static inline vi vi_all(int32_t x) { return _mm256_set1_epi32(x); }
static inline vi vi_all_bytes(int x) { return _mm256_set1_epi8((char)x); }
static inline vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
static inline vi vi_or(vi a, vi b) { return _mm256_or_si256(a, b); }
static inline vi vi_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
static inline vi vi_right(vi a, int bits) { return _mm256_srli_epi16(a, bits); }
static inline vi vi_left_dwords(vi a, int bits) { return _mm256_slli_epi32(a, bits); }
static inline vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
static inline vi vi_add_bytes(vi a, vi b) { return _mm256_add_epi8(a, b); }
static inline vi vi_look_up(vi table, vi at) { return _mm256_shuffle_epi8(table, at); } // of 16 bytes, repeated
static inline vi vi_repeat(const void *p) { return _mm256_broadcastsi128_si256(_mm_loadu_si128(p)); }
static inline vi vi_mul(vi a, vi b) { return _mm256_mullo_epi32(a, b); }
static inline vi vi_sub_words(vi a, vi b) { return _mm256_sub_epi16(a, b); }
static inline vi vi_mul_words(vi a, vi b) { return _mm256_mullo_epi16(a, b); }
// LANES int8 to int32
static inline vi vi_load_bytes(const int8_t *p) { return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
// LANES of p and of q as 16-bit pairs
static inline vi vi_pairs(const int8_t *p, const int8_t *q) {
    __m128i a = _mm_loadl_epi64((const __m128i *)p), b = _mm_loadl_epi64((const __m128i *)q);
    return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b));
}

static inline vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void vf_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
static inline vf vf_zero(void) { return _mm256_setzero_ps(); }
static inline vf vf_all(float x) { return _mm256_set1_ps(x); }
static inline vf vf_from(vi a) { return _mm256_cvtepi32_ps(a); }
static inline vf vf_load_halves(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
static inline vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }

// The first n lanes; memory behind them is not touched. Whole vectors go without a mask: a masked store takes AMD's
// cores a dozen cycles.
static inline vi lanes_below(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < LANES ? (int)n : LANES), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vf vf_load_first(const float *p, size_t n) {
    return n >= LANES ? vf_load(p) : _mm256_maskload_ps(p, lanes_below(n));
}
static inline void vf_store_first(float *p, size_t n, vf a) {
    if (n >= LANES)
        vf_store(p, a);
    else
        _mm256_maskstore_ps(p, lanes_below(n), a);
}

static inline vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline float vf_largest(vf a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
static inline vf vf_round_half(vf a) { return _mm256_cvtph_ps(_mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT)); }
// To a whole number, ties to even.
static inline vf vf_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// a * 2^n for whole n from -126 to 127
static inline vf vf_times_power_of_2(vf a, vf n) {
    vi exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvttps_epi32(n), _mm256_set1_epi32(127)), 23);
    return vf_mul(a, _mm256_castsi256_ps(exponent));
}
// The first n lanes from p, whose others may be read, and x in the others.
static inline vf vf_first_or(const float *p, size_t n, float x) {
    return _mm256_blendv_ps(vf_all(x), vf_load(p), _mm256_castsi256_ps(lanes_below(n)));
}
// Of 16 values, s[i] + s[i + 8].
static inline __m256 vf_fold8(const vf s[2]) { return vf_add(s[0], s[1]); }
// a where x >= limit, else 0
static inline vf vf_where_at_least(vf x, vf limit, vf a) {
    return _mm256_and_ps(_mm256_cmp_ps(x, limit, _CMP_GE_OQ), a);
}

static inline vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf vf_negate(vf a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
static inline vi vi_magnitude(vf a) { return vi_and(_mm256_castps_si256(a), vi_all(0x7fffffff)); }
static inline vi vi_max(vi a, vi b) { return _mm256_max_epi32(a, b); }
static inline vi vi_min(vi a, vi b) { return _mm256_min_epi32(a, b); }
static inline int32_t vi_largest(vi a) {
    __m128i x = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    x = _mm_max_epi32(x, _mm_unpackhi_epi64(x, x));
    return _mm_cvtsi128_si32(_mm_max_epi32(x, _mm_shuffle_epi32(x, 1)));
}
static inline int32_t vi_total(vi a) {
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    x = _mm_add_epi32(x, _mm_unpackhi_epi64(x, x));
    return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 1)));
}
static inline vi vi_rounded(vf a) { return _mm256_cvtps_epi32(a); } // to nearest, ties to even
static inline void vi_store_bytes(int8_t *p, vi a) {
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(words, words));
}
static inline void vf_store_halves(uint16_t *p, vf a) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
// a[i][j] and a[j][i] change places. Pairs of rows, then of pairs, are interleaved; then halves go to their rows.
static inline void vf_transpose(vf a[8]) {
    vf b[8], c[8];
    for (size_t i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    for (size_t i = 0; i < 8; i += 4)
        for (size_t j = 0; j < 2; j++) { // c[i + n]: dimensions n and 4 + n of rows i to i + 3
            c[i + 2 * j] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0x44);
            c[i + 2 * j + 1] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0xee);
        }
    for (size_t n = 0; n < 4; n++) {
        a[n] = _mm256_permute2f128_ps(c[n], c[4 + n], 0x20);
        a[4 + n] = _mm256_permute2f128_ps(c[n], c[4 + n], 0x31);
    }
}
// x0 y0 x1 y1 …: 2 * LANES floats to the x and the y, and back.
static inline void vf_load_pairs(const float *p, vf *x, vf *y) {
    vf a = _mm256_permute2f128_ps(vf_load(p), vf_load(p + LANES), 0x20);
    vf b = _mm256_permute2f128_ps(vf_load(p), vf_load(p + LANES), 0x31);
    *x = _mm256_shuffle_ps(a, b, 0x88);
    *y = _mm256_shuffle_ps(a, b, 0xdd);
}
static inline void vf_store_pairs(float *p, vf x, vf y) {
    vf a = _mm256_unpacklo_ps(x, y), b = _mm256_unpackhi_ps(x, y);
    vf_store(p, _mm256_permute2f128_ps(a, b, 0x20));
    vf_store(p + LANES, _mm256_permute2f128_ps(a, b, 0x31));
}

#ifdef Q4_VEC_VNNI // ---- AVX-VNNI: every product of bytes is one instruction

static inline vi dot4(vi sum, vi u, vi s) { return _mm256_dpbusd_avx_epi32(sum, u, s); }
static inline vi nibbles_start(int32_t start) { return vi_all(start); }
static inline vi nibbles_dot(vi sum, vi u, vi s) { return dot4(sum, u, s); }
static inline vi nibbles_sum(vi sum, int32_t start) { return (void)start, sum; }
static inline vi bytes_start(int32_t start) { return vi_all(start); }
static inline vi bytes_dot(vi sum, vi w, vi s) { return dot4(sum, w, s); }
#define BYTES_OFFSET 128
#define FIVES_OFFSET 128
#include "products_vnni.h"
static inline vi dot2(vi sum, vi a, vi b) { return _mm256_dpwssd_avx_epi32(sum, a, b); }

#else

// vi_keep: gcc would rebalance long sums into trees, whose leaves do not fit the registers.
static inline vi dot2(vi sum, vi a, vi b) { return vi_keep(vi_add(sum, _mm256_madd_epi16(a, b))); }
static inline vi pairs_sum(vi a) { return _mm256_madd_epi16(a, _mm256_set1_epi16(1)); }
// A whole block's 8 products of nibbles fit 16 bits: 8 * 2 * 15 * 127 = 30480.
static inline vi nibbles_start(int32_t start) { return (void)start, vi_zero(); }
static inline vi nibbles_dot(vi sum, vi u, vi s) { return vi_keep(_mm256_add_epi16(sum, _mm256_maddubs_epi16(u, s))); }
static inline vi nibbles_sum(vi sum, int32_t start) { return vi_add(pairs_sum(sum), vi_all(start)); }
static inline vi bytes_start(int32_t start) { return (void)start, vi_zero(); }
static inline vi bytes_products(vi w, vi s) {
    vi signed_w = vi_xor(w, vi_all_bytes(-128));
    return _mm256_maddubs_epi16(_mm256_abs_epi8(signed_w), _mm256_sign_epi8(s, signed_w));
}
static inline vi bytes_dot(vi sum, vi w, vi s) { return vi_keep(vi_add(sum, pairs_sum(bytes_products(w, s)))); }
#define BYTES_OFFSET 0
#define FIVES_OFFSET 16
// Products of up to FIT steps are summed as 16-bit pairs.
#define AT_ONCE(FIT, ALL) (FIT)
#define OFFSETS_APART 1 // from sums of products
static inline vi products_start(vi sum) { return (void)sum, vi_zero(); }
static inline vi products_sum(vi products, vi sum) { return vi_keep(vi_add(sum, pairs_sum(products))); }
static inline vi products_of_bytes(vi sum, vi w, vi s) { return _mm256_add_epi16(sum, bytes_products(w, s)); }
static inline vi scale_form(vi scale) { return vi_or(vi_and(scale, vi_all(0xffff)), vi_left_dwords(scale, 16)); }
static inline vi products_scaled(vi products, vi scale, vi sum) { return dot2(sum, products, scale); }

#endif
#endif
