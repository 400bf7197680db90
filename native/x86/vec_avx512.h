// The vector operations of the kernel templates, in AVX-512; vec_avx512vnni.h adds the products of bytes.
#ifndef Q4_X86_VEC_AVX512_H
#define Q4_X86_VEC_AVX512_H

#include "../matmul/matmul.h"

#include <immintrin.h>
#include <string.h>

#define LANES 16
#define GEMM_TOKENS 6
#define GEMV_VECTORS 2 // of rows at once

typedef __m512i vi;
typedef __m512 vf;

static inline vi vi_load(const void *p) { return _mm512_loadu_si512(p); }
static inline void vi_store(void *p, vi a) { _mm512_storeu_si512(p, a); }
// Stays in a register: gcc would rather load it again at each use.
static inline vi vi_keep(vi a) {
    __asm__("" : "+v"(a));
    return a;
}
static inline vi vi_zero(void) { return _mm512_setzero_si512(); }
static inline vi vi_all(int32_t x) { return _mm512_set1_epi32(x); }
static inline vi vi_all_bytes(int x) { return _mm512_set1_epi8((char)x); }
static inline vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
static inline vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
static inline vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
static inline vi vi_right(vi a, int bits) { return _mm512_srli_epi16(a, (unsigned)bits); }
static inline vi vi_left_dwords(vi a, int bits) { return _mm512_slli_epi32(a, (unsigned)bits); }
static inline vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
static inline vi vi_add_bytes(vi a, vi b) { return _mm512_add_epi8(a, b); }
static inline vi vi_look_up(vi table, vi at) { return _mm512_shuffle_epi8(table, at); } // of 16 bytes, repeated
static inline vi vi_repeat(const void *p) { return _mm512_broadcast_i32x4(_mm_loadu_si128(p)); }
static inline vi vi_mul(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
static inline vi vi_sub_words(vi a, vi b) { return _mm512_sub_epi16(a, b); }
static inline vi vi_mul_words(vi a, vi b) { return _mm512_mullo_epi16(a, b); }
// LANES int8 to int32
static inline vi vi_load_bytes(const int8_t *p) { return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)); }
// LANES of p and of q as 16-bit pairs
static inline vi vi_pairs(const int8_t *p, const int8_t *q) {
    __m128i a = _mm_loadu_si128((const __m128i *)p), b = _mm_loadu_si128((const __m128i *)q);
    return _mm512_cvtepi8_epi16(_mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b)));
}

static inline vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vf_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
static inline vf vf_zero(void) { return _mm512_setzero_ps(); }
static inline vf vf_all(float x) { return _mm512_set1_ps(x); }
static inline vf vf_from(vi a) { return _mm512_cvtepi32_ps(a); }
static inline vf vf_load_halves(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
static inline vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }

// The first n lanes; memory behind them is not touched.
static inline __mmask16 lanes_below(size_t n) { return (__mmask16)(n < LANES ? (1u << n) - 1 : 0xffff); }
static inline vf vf_load_first(const float *p, size_t n) { return _mm512_maskz_loadu_ps(lanes_below(n), p); }
static inline void vf_store_first(float *p, size_t n, vf a) { _mm512_mask_storeu_ps(p, lanes_below(n), a); }

static inline vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline float vf_largest(vf a) { return _mm512_reduce_max_ps(a); }
static inline vf vf_round_half(vf a) { return _mm512_cvtph_ps(_mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT)); }
// To a whole number, ties to even.
static inline vf vf_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// a * 2^n for whole n from -126 to 127
static inline vf vf_times_power_of_2(vf a, vf n) { return _mm512_scalef_ps(a, n); }
// The first n lanes from p, x in the others.
static inline vf vf_first_or(const float *p, size_t n, float x) {
    return _mm512_mask_loadu_ps(vf_all(x), lanes_below(n), p);
}
// Of 16 values, s[i] + s[i + 8].
static inline __m256 vf_fold8(const vf s[1]) {
    return _mm256_add_ps(_mm512_castps512_ps256(s[0]), _mm512_extractf32x8_ps(s[0], 1));
}
// a where x >= limit, else 0
static inline vf vf_where_at_least(vf x, vf limit, vf a) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_GE_OQ), a);
}

static inline vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf vf_negate(vf a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
static inline vi vi_magnitude(vf a) { return _mm512_and_si512(_mm512_castps_si512(a), vi_all(0x7fffffff)); }
static inline vi vi_max(vi a, vi b) { return _mm512_max_epi32(a, b); }
static inline vi vi_min(vi a, vi b) { return _mm512_min_epi32(a, b); }
static inline vf vi_as_floats(vi a) { return _mm512_castsi512_ps(a); }
static inline int32_t vi_least(vi a) { return _mm512_reduce_min_epi32(a); }
static inline int32_t vi_largest(vi a) { return _mm512_reduce_max_epi32(a); }
static inline int32_t vi_total(vi a) { return _mm512_reduce_add_epi32(a); }
// The largest (the sum) of each of 16 vectors' lanes, in its lane; of u they are no more after this. Each step halves
// the vectors: lanes of two that are neighbours go together.
#define VI_OF_16(NAME, OPERATION)                                                                                      \
    static inline vi NAME(vi u[16]) {                                                                                  \
        for (size_t i = 0; i < 8; i++)                                                                                 \
            u[i] = OPERATION(_mm512_unpacklo_epi32(u[2 * i], u[2 * i + 1]),                                            \
                             _mm512_unpackhi_epi32(u[2 * i], u[2 * i + 1]));                                           \
        for (size_t i = 0; i < 4; i++)                                                                                 \
            u[i] = OPERATION(_mm512_unpacklo_epi64(u[2 * i], u[2 * i + 1]),                                            \
                             _mm512_unpackhi_epi64(u[2 * i], u[2 * i + 1]));                                           \
        for (size_t n = 2; n; n /= 2)                                                                                  \
            for (size_t i = 0; i < n; i++)                                                                             \
                u[i] = OPERATION(_mm512_shuffle_i32x4(u[2 * i], u[2 * i + 1], 0x88),                                   \
                                 _mm512_shuffle_i32x4(u[2 * i], u[2 * i + 1], 0xdd));                                  \
        return u[0];                                                                                                   \
    }
VI_OF_16(vi_largest_of_16, _mm512_max_epi32)
VI_OF_16(vi_total_of_16, _mm512_add_epi32)

static inline vi vi_rounded(vf a) { return _mm512_cvtps_epi32(a); } // to nearest, ties to even
static inline void vi_store_bytes(int8_t *p, vi a) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a)); }
static inline void vf_store_halves(uint16_t *p, vf a) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
// a[i][j] and a[j][i] change places. Pairs of rows, then of pairs, are interleaved; then 128-bit parts go to their
// rows.
static inline void vf_transpose(vf a[16]) {
    vf b[16], c[16];
    for (size_t i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
    for (size_t i = 0; i < 16; i += 4)
        for (size_t j = 0; j < 2; j++) { // c[i + n]: dimensions n, 4 + n … of rows i to i + 3
            __m512d x = _mm512_castps_pd(b[i + j]), y = _mm512_castps_pd(b[i + j + 2]);
            c[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
            c[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
        }
    for (size_t n = 0; n < 4; n++) {
        vf low02 = _mm512_shuffle_f32x4(c[n], c[4 + n], 0x88), low13 = _mm512_shuffle_f32x4(c[n], c[4 + n], 0xdd);
        vf high02 = _mm512_shuffle_f32x4(c[8 + n], c[12 + n], 0x88);
        vf high13 = _mm512_shuffle_f32x4(c[8 + n], c[12 + n], 0xdd);
        a[n] = _mm512_shuffle_f32x4(low02, high02, 0x88);
        a[4 + n] = _mm512_shuffle_f32x4(low13, high13, 0x88);
        a[8 + n] = _mm512_shuffle_f32x4(low02, high02, 0xdd);
        a[12 + n] = _mm512_shuffle_f32x4(low13, high13, 0xdd);
    }
}
// x0 y0 x1 y1 …: 2 * LANES floats to the x and the y, and back.
static inline void vf_load_pairs(const float *p, vf *x, vf *y) {
    vi even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    vf a = vf_load(p), b = vf_load(p + LANES);
    *x = _mm512_permutex2var_ps(a, even, b);
    *y = _mm512_permutex2var_ps(a, vi_add(even, vi_all(1)), b);
}
static inline void vf_store_pairs(float *p, vf x, vf y) {
    vi low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    vf_store(p, _mm512_permutex2var_ps(x, low, y));
    vf_store(p + LANES, _mm512_permutex2var_ps(x, vi_add(low, vi_all(8)), y));
}

#endif
