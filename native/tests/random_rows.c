// Random GGUF rows, extreme values included; every scale is finite.
#include "test.h"

#include "../ops/q4math.h"

enum kind { PLAIN, EXTREME, SPARSE, KINDS };

static uint16_t scale(struct rng *r, enum kind kind) {
    if (kind == SPARSE && rng_next(r) % 2)
        return 0;
    return kind == PLAIN ? q4_float_to_half(rng_float(r, 0.1f)) : rng_half(r);
}

// Bytes at random, or all of one extreme value, or all zero.
static void fill_bytes(struct rng *r, enum kind kind, uint8_t *p, size_t n) {
    static const uint8_t extremes[] = {0x00, 0xff, 0x80, 0x7f, 0x0f, 0xf0, 0x88, 0x81};
    uint64_t u = rng_next(r);
    if ((kind == EXTREME && u % 2) || (kind == SPARSE && u % 4 == 0)) {
        memset(p, kind == SPARSE ? 0 : extremes[u >> 8 & 7], n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(rng_next(r) >> 16);
}

static void random_float(struct rng *r, int type, enum kind kind, uint8_t *p) {
    float x = rng_float(r, kind == EXTREME && rng_next(r) % 4 == 0 ? 65504.0f : 1.0f);
    uint64_t u = rng_next(r);
    if (kind == EXTREME && u % 4 == 0)
        x = q4_bits_float((uint32_t)(u >> 40)); // a subnormal
    if (kind == SPARSE && u % 2)
        x = u & 2 ? 0.0f : -0.0f;
    uint32_t bits = q4_float_bits(x);
    uint16_t half = type == Q4_TYPE_BF16 ? (uint16_t)(bits >> 16) : kind == EXTREME ? rng_half(r) : q4_float_to_half(x);
    if (type == Q4_TYPE_F32)
        memcpy(p, &bits, sizeof bits);
    else
        memcpy(p, &half, sizeof half);
}

// Where a block has fp16 fields
static const struct halves {
    int type;
    size_t first, n;
} halves[] = {
    {Q4_TYPE_Q4_0, 0, 1},
    {Q4_TYPE_Q4_1, 0, 2},
    {Q4_TYPE_Q5_0, 0, 1},
    {Q4_TYPE_Q5_1, 0, 2},
    {Q4_TYPE_IQ4_NL, 0, 1},
    {Q4_TYPE_Q8_0, 0, 1},
    {Q4_TYPE_Q2_K, offsetof(q4_block_q2_k, d), 2},
    {Q4_TYPE_Q3_K, offsetof(q4_block_q3_k, d), 1},
    {Q4_TYPE_Q4_K, 0, 2},
    {Q4_TYPE_Q5_K, 0, 2},
    {Q4_TYPE_Q6_K, offsetof(q4_block_q6_k, d), 1},
    {Q4_TYPE_IQ4_XS, 0, 1},
};

static void random_block(struct rng *r, int type, enum kind kind, uint8_t *block, size_t bytes) {
    if (type == Q4_TYPE_F32 || type == Q4_TYPE_F16 || type == Q4_TYPE_BF16) {
        random_float(r, type, kind, block);
        return;
    }
    fill_bytes(r, kind, block, bytes);
    const struct halves *at = halves;
    while (at->type != type)
        at++;
    for (size_t i = 0; i < at->n; i++) {
        uint16_t h = scale(r, kind);
        memcpy(block + at->first + 2 * i, &h, sizeof h);
    }
    if (type == Q4_TYPE_Q6_K && kind == EXTREME)
        memset(block + offsetof(q4_block_q6_k, scales), rng_next(r) & 1 ? 0x80 : 0x7f, 16);
}

static void fill_rows(struct rng *r, const struct q4_type *type, enum kind kind, uint8_t *rows, size_t n_rows,
                      size_t k) {
    for (size_t i = 0; i < n_rows * (k / type->columns); i++)
        random_block(r, type->number, kind, rows + i * type->bytes, type->bytes);
}

void random_rows(struct rng *r, const struct q4_type *type, uint8_t *rows, size_t n_rows, size_t k) {
    enum kind kind = rng_next(r) % KINDS;
    fill_rows(r, type, kind, rows, n_rows, k);
}

void plain_rows(struct rng *r, const struct q4_type *type, uint8_t *rows, size_t n_rows, size_t k) {
    fill_rows(r, type, PLAIN, rows, n_rows, k);
}
