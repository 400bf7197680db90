#include "acts_pack.h"
#include "k16.h"

#include <string.h>

static size_t pairs8_bytes(size_t k) { return k / Q4_BLOCK * PAIRS8_BYTES; }
static size_t pairs8_sum_bytes(size_t k) { return k / Q4_BLOCK * PAIRS8_SUM_BYTES; }
static size_t pairs8_k_bytes(size_t k) { return k / Q4_SUPER * PAIRS8_K_BYTES; }
static size_t quad4_bytes(size_t k) { return q4_round_up(k / Q4_BLOCK * QUAD4_BYTES, 64); }

static size_t quad4_k_bytes(size_t k) { return k / Q4_SUPER * QUAD4_K_BYTES; }
static size_t pairs8_k_16_bytes(size_t k) { return k / Q4_SUPER * PAIRS8_K_16_BYTES; }
static size_t quad4_k_16_bytes(size_t k) { return k / Q4_SUPER * QUAD4_K_16_BYTES; }

// A token's share of every block: 4 chunks of 8 columns, and its scale (and sum) twice.
static void pairs8_token(uint8_t *dst, const struct q4_acts *acts, size_t token, size_t slot, size_t block_bytes) {
    size_t n_blocks = acts->k / Q4_BLOCK;
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * n_blocks;
    const int32_t *sum = acts->sum + token * n_blocks;
    for (size_t b = 0; b < n_blocks; b++, q += Q4_BLOCK, dst += block_bytes) {
        for (size_t c = 0; c < 4; c++)
            memcpy(dst + c * 64 + slot * 8, q + 8 * c, 8);
        float twice[2] = {d[b], d[b]};
        memcpy(dst + 256 + slot * 8, twice, 8);
        if (block_bytes == PAIRS8_SUM_BYTES) {
            twice[0] = twice[1] = (float)sum[b];
            memcpy(dst + 320 + slot * 8, twice, 8);
        }
    }
}

static inline void pack_pairs8(uint8_t *dst, const struct q4_acts *acts, size_t token0, size_t n, size_t block_bytes) {
    if (n < PAIRS8_TOKENS)
        memset(dst, 0, acts->k / Q4_BLOCK * block_bytes);
    for (size_t i = 0; i < n; i++)
        pairs8_token(dst, acts, token0 + i, i, block_bytes);
}

static void pairs8_pack(uint8_t *dst, const struct q4_acts *acts, size_t token0, size_t n) {
    pack_pairs8(dst, acts, token0, n, PAIRS8_BYTES);
}

static void pairs8_sum_pack(uint8_t *dst, const struct q4_acts *acts, size_t token0, size_t n) {
    pack_pairs8(dst, acts, token0, n, PAIRS8_SUM_BYTES);
}

static inline void pack_pairs8_k(uint8_t *dst, const struct q4_acts *acts, size_t token0, size_t n, size_t sub) {
    size_t n_blocks = acts->k / Q4_SUPER, part = K16_SUM_BYTES(sub) / 2, block_bytes = 64 + part * 16 + 8 * Q4_SUPER;
    if (n < PAIRS8_TOKENS)
        memset(dst, 0, n_blocks * block_bytes);
    for (size_t i = 0; i < n; i++) {
        const int8_t *q = acts->q + (token0 + i) * acts->k;
        uint8_t *out = dst;
        for (size_t b = 0; b < n_blocks; b++, out += block_bytes) {
            float d = acts->d[(token0 + i) * n_blocks + b], twice[2] = {d, d};
            memcpy(out + i * 8, twice, 8);
            int8_t sums[K16_SUM_BYTES(16)];
            q4_k16_sums(sums, q, 1, sub);
            uint8_t *to = out + PAIRS8_K_SUMS + i * 8;
            for (size_t s = 0; s < 2 * part; s += 8, to += 64)
                memcpy(to, sums + s, 8);
            for (size_t c = 0; c < Q4_SUPER / 8; c++, q += 8, to += 64)
                memcpy(to, q, 8);
        }
    }
}

static void pairs8_k_pack(uint8_t *dst, const struct q4_acts *acts, size_t token0, size_t n) {
    pack_pairs8_k(dst, acts, token0, n, 32);
}

static void pairs8_k_16_pack(uint8_t *dst, const struct q4_acts *acts, size_t token0, size_t n) {
    pack_pairs8_k(dst, acts, token0, n, 16);
}

static void quad4_pack(uint8_t *dst, const struct q4_acts *acts, size_t token0, size_t n) {
    size_t n_blocks = acts->k / Q4_BLOCK;
    if (n < QUAD4_TOKENS)
        memset(dst, 0, n_blocks * QUAD4_BYTES);
    for (size_t i = 0; i < n; i++) {
        const int8_t *q = acts->q + (token0 + i) * acts->k;
        uint8_t *out = dst;
        for (size_t b = 0; b < n_blocks; b++, q += Q4_BLOCK, out += QUAD4_BYTES) {
            size_t at = (token0 + i) * n_blocks + b;
            float sum = (float)acts->sum[at];
            memcpy(out + i * 16, q, 16);
            memcpy(out + 64 + i * 16, q + 16, 16);
            memcpy(out + 128 + i * 4, &acts->d[at], 4);
            memcpy(out + 144 + i * 4, &sum, 4);
        }
    }
}

static inline void pack_quad4_k(uint8_t *dst, const struct q4_acts *acts, size_t token0, size_t n, size_t sub) {
    size_t n_blocks = acts->k / Q4_SUPER, sum_bytes = K16_SUM_BYTES(sub);
    size_t block_bytes = QUAD4_K_SUMS + 4 * sum_bytes + 64;
    if (n < QUAD4_TOKENS)
        memset(dst, 0, n_blocks * block_bytes);
    for (size_t i = 0; i < n; i++) {
        const int8_t *q = acts->q + (token0 + i) * acts->k;
        uint8_t *out = dst;
        for (size_t b = 0; b < n_blocks; b++, out += block_bytes) {
            q4_k16_sums((int8_t *)out + QUAD4_K_SUMS + i * sum_bytes, q, 1, sub);
            for (size_t s = 0; s < Q4_SUPER / 16; s++, q += 16)
                memcpy(out + s * 64 + i * 16, q, 16);
            memcpy(out + QUAD4_K_SUMS + 4 * sum_bytes + i * 4, &acts->d[(token0 + i) * n_blocks + b], 4);
        }
    }
}

static void quad4_k_pack(uint8_t *dst, const struct q4_acts *acts, size_t token0, size_t n) {
    pack_quad4_k(dst, acts, token0, n, 32);
}

static void quad4_k_16_pack(uint8_t *dst, const struct q4_acts *acts, size_t token0, size_t n) {
    pack_quad4_k(dst, acts, token0, n, 16);
}

const struct q4_act_packing q4_pairs8 = {"pairs8", Q4_ACT_Q8, PAIRS8_TOKENS, pairs8_bytes, PAIRS8_BYTES, pairs8_pack};
const struct q4_act_packing q4_pairs8_sum = {"pairs8_sum",     Q4_ACT_Q8,        PAIRS8_TOKENS,
                                             pairs8_sum_bytes, PAIRS8_SUM_BYTES, pairs8_sum_pack};
const struct q4_act_packing q4_pairs8_k = {"pairs8_k",     Q4_ACT_Q8K,     PAIRS8_TOKENS,
                                           pairs8_k_bytes, PAIRS8_K_BYTES, pairs8_k_pack};
const struct q4_act_packing q4_quad4 = {"quad4", Q4_ACT_Q8, QUAD4_TOKENS, quad4_bytes, QUAD4_BYTES, quad4_pack};
const struct q4_act_packing q4_quad4_k = {"quad4_k",     Q4_ACT_Q8K,    QUAD4_TOKENS,
                                          quad4_k_bytes, QUAD4_K_BYTES, quad4_k_pack};
const struct q4_act_packing q4_pairs8_k_16 = {"pairs8_k_16",     Q4_ACT_Q8K,        PAIRS8_TOKENS,
                                              pairs8_k_16_bytes, PAIRS8_K_16_BYTES, pairs8_k_16_pack};
const struct q4_act_packing q4_quad4_k_16 = {"quad4_k_16",     Q4_ACT_Q8K,       QUAD4_TOKENS,
                                             quad4_k_16_bytes, QUAD4_K_16_BYTES, quad4_k_16_pack};
