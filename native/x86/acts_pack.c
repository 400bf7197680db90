// Packing of activations for the GEMM kernels, once a batch. See layouts.h.
#include "layouts.h"

#include <emmintrin.h>
#include <string.h>

// q[i][token] = 4 bytes i of each token, for 16 bytes of 6 tokens that lie `stride` apart.
static void transpose_half(int32_t q[4][TILE_TOKENS], const int8_t *from, size_t stride) {
    __m128i t[TILE_TOKENS];
    for (size_t i = 0; i < TILE_TOKENS; i++)
        t[i] = _mm_loadu_si128((const __m128i *)(from + i * stride));
    __m128i a = _mm_unpacklo_epi32(t[0], t[1]), b = _mm_unpacklo_epi32(t[2], t[3]), c = _mm_unpacklo_epi32(t[4], t[5]);
    __m128i d = _mm_unpackhi_epi32(t[0], t[1]), e = _mm_unpackhi_epi32(t[2], t[3]), f = _mm_unpackhi_epi32(t[4], t[5]);
    _mm_storeu_si128((__m128i *)q[0], _mm_unpacklo_epi64(a, b));
    _mm_storel_epi64((__m128i *)(q[0] + 4), c);
    _mm_storeu_si128((__m128i *)q[1], _mm_unpackhi_epi64(a, b));
    _mm_storel_epi64((__m128i *)(q[1] + 4), _mm_unpackhi_epi64(c, c));
    _mm_storeu_si128((__m128i *)q[2], _mm_unpacklo_epi64(d, e));
    _mm_storel_epi64((__m128i *)(q[2] + 4), f);
    _mm_storeu_si128((__m128i *)q[3], _mm_unpackhi_epi64(d, e));
    _mm_storel_epi64((__m128i *)(q[3] + 4), _mm_unpackhi_epi64(f, f));
}

static void pack_whole_tile(acts_q8 *out, const struct q4_acts *acts, size_t token0) {
    size_t blocks = acts->k / Q4_BLOCK;
    const int8_t *q = acts->q + token0 * acts->k;
    const int32_t *sum = acts->sum + token0 * blocks;
    const float *d = acts->d + token0 * blocks;
    for (size_t b = 0; b < blocks; b++, out++) {
        transpose_half(out->q, q + b * Q4_BLOCK, acts->k);
        transpose_half(out->q + 4, q + b * Q4_BLOCK + 16, acts->k);
        for (size_t t = 0; t < TILE_TOKENS; t++) {
            int32_t s = sum[t * blocks + b];
            out->minus_8_sum[t] = -8 * s;
            out->minus_128_sum[t] = -128 * s;
            out->sum[t] = (float)s;
            out->d[t] = d[t * blocks + b];
        }
    }
}

static void pack_q8(uint8_t *dst, const struct q4_acts *acts, size_t token0, size_t n) {
    acts_q8 *out = (acts_q8 *)dst;
    size_t blocks = acts->k / Q4_BLOCK;
    if (n == TILE_TOKENS) {
        pack_whole_tile(out, acts, token0);
        return;
    }
    memset(out, 0, blocks * sizeof *out);
    for (size_t b = 0; b < blocks; b++, out++)
        for (size_t t = 0; t < n; t++) {
            size_t at = (token0 + t) * blocks + b;
            const int8_t *q = acts->q + at * Q4_BLOCK;
            for (size_t c = 0; c < 8; c++)
                memcpy(&out->q[c][t], q + 4 * c, 4);
            out->minus_8_sum[t] = -8 * acts->sum[at];
            out->minus_128_sum[t] = -128 * acts->sum[at];
            out->sum[t] = (float)acts->sum[at];
            out->d[t] = acts->d[at];
        }
}

static void pack_k_token(acts_k *out, const struct q4_acts *acts, size_t token, size_t t) {
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * (acts->k / Q4_SUPER);
    for (size_t b = 0; b < acts->k / Q4_SUPER; b++, out++, q += Q4_SUPER) {
        int sums[Q4_SUPER / 16] = {0};
        for (size_t c = 0; c < Q4_SUPER / 4; c++)
            memcpy(&out->q[c][t], q + 4 * c, 4);
        for (size_t i = 0; i < Q4_SUPER; i++)
            sums[i / 16] += q[i];
        for (size_t pair = 0; pair < Q4_SUPER / 32; pair++)
            out->sums[pair][t] = pair_of(sums[2 * pair], sums[2 * pair + 1]);
        out->d[t] = d[b];
    }
}

// Sums of 2 x 16 int8 as a pair. SAD adds unsigned bytes, 8 at a time.
static int32_t pair_of_sums(const int8_t *q) {
    __m128i sign = _mm_set1_epi8(-128), zero = _mm_setzero_si128();
    __m128i a = _mm_sad_epu8(_mm_xor_si128(_mm_loadu_si128((const __m128i *)q), sign), zero);
    __m128i b = _mm_sad_epu8(_mm_xor_si128(_mm_loadu_si128((const __m128i *)(q + 16)), sign), zero);
    __m128i sums = _mm_add_epi32(_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b));
    return pair_of(_mm_extract_epi16(sums, 0) - 128 * 16, _mm_extract_epi16(sums, 4) - 128 * 16);
}

static void pack_whole_k_tile(acts_k *out, const struct q4_acts *acts, size_t token0) {
    const int8_t *q = acts->q + token0 * acts->k;
    const float *d = acts->d + token0 * (acts->k / Q4_SUPER);
    for (size_t b = 0; b < acts->k / Q4_SUPER; b++, out++, q += Q4_SUPER) {
        for (size_t part = 0; part < Q4_SUPER / 16; part++)
            transpose_half(out->q + 4 * part, q + 16 * part, acts->k);
        for (size_t t = 0; t < TILE_TOKENS; t++) {
            for (size_t pair = 0; pair < Q4_SUPER / 32; pair++)
                out->sums[pair][t] = pair_of_sums(q + t * acts->k + 32 * pair);
            out->d[t] = d[t * (acts->k / Q4_SUPER) + b];
        }
    }
}

static void pack_k(uint8_t *dst, const struct q4_acts *acts, size_t token0, size_t n) {
    acts_k *out = (acts_k *)dst;
    if (n == TILE_TOKENS) {
        pack_whole_k_tile(out, acts, token0);
        return;
    }
    memset(out, 0, acts->k / Q4_SUPER * sizeof *out);
    for (size_t t = 0; t < n; t++)
        pack_k_token(out, acts, token0 + t, t);
}

static size_t bytes_q8(size_t k) { return q4_round_up(k / Q4_BLOCK * sizeof(acts_q8), 64); }
static size_t bytes_k(size_t k) { return q4_round_up(k / Q4_SUPER * sizeof(acts_k), 64); }

const struct q4_act_packing q4_x86_acts_q8 = {.name = "tile6_q8",
                                              .form = Q4_ACT_Q8,
                                              .tile = TILE_TOKENS,
                                              .bytes = bytes_q8,
                                              .block_bytes = sizeof(acts_q8),
                                              .pack = pack_q8};
const struct q4_act_packing q4_x86_acts_k = {.name = "tile6_k",
                                             .form = Q4_ACT_Q8K,
                                             .tile = TILE_TOKENS,
                                             .bytes = bytes_k,
                                             .block_bytes = sizeof(acts_k),
                                             .pack = pack_k};
