// How keys and values become int8 with scales in the KV cache, and queries that meet them (docs/arithmetic.md,
// "Attention"), by whichever quantiser of activations, since all of them give the same bits.
#ifndef Q4_KV_Q8_0_H
#define Q4_KV_Q8_0_H

#include "ops.h"
#include "q4math.h"

typedef bool q4_quantizer(const float *x, size_t n, int8_t *q, float *d, int32_t *sum);

#define Q4_KV_MAX_SCALE 515.5f // 127 times this is a finite fp16

// Of one position of a block. false where a key or value could be beyond fp16.
static inline bool q4_kv_store_scales(uint16_t *block, const float *d, size_t n) {
    bool fits = true;
    for (size_t i = 0; i < n; i++) {
        block[i * Q4_KV_BLOCK] = q4_float_to_half(d[i]);
        fits &= d[i] <= Q4_KV_MAX_SCALE;
    }
    return fits;
}

// `store` of struct q4_kv_ops.
static inline bool q4_kv_store_int8(q4_quantizer *quantize, void *keys, void *values, const float *k, const float *v,
                                    size_t head_dim, size_t position) {
    int8_t q[Q4_MAX_HEAD_DIM];
    float d[Q4_MAX_HEAD_DIM / Q4_BLOCK];
    int32_t sum[Q4_MAX_HEAD_DIM / Q4_BLOCK];
    size_t n = head_dim / Q4_BLOCK, t = position % Q4_KV_BLOCK;
    size_t block = position / Q4_KV_BLOCK * q4_kv_block_bytes(Q4_KV_Q8_0, head_dim);
    int8_t *kb = (int8_t *)keys + block, *vb = (int8_t *)values + block;
    bool fits = quantize(k, head_dim, q, d, sum);
    for (size_t i = 0; i < head_dim; i += 4)
        memcpy(kb + q4_kv_int8_key(i, t), q + i, 4);
    fits &= q4_kv_store_scales((uint16_t *)(void *)(kb + Q4_KV_BLOCK * head_dim) + t, d, n);
    fits &= quantize(v, head_dim, vb + t * head_dim, d, sum);
    return fits & q4_kv_store_scales((uint16_t *)(void *)(vb + Q4_KV_BLOCK * head_dim) + t, d, n);
}

// A query times `scale`, in blocks of Q4_BLOCK: q[head_dim], their scales and their sums. A scale is NaN where a value
// is not finite, or the scale beyond fp16, so that the result is not finite either.
static inline void q4_kv_int8_query(q4_quantizer *quantize, int8_t *q, float *d, int32_t *sum, const float *query,
                                    float scale, size_t head_dim) {
    float scaled[Q4_MAX_HEAD_DIM];
    for (size_t i = 0; i < head_dim; i++)
        scaled[i] = query[i] * scale;
    bool finite = quantize(scaled, head_dim, q, d, sum);
    for (size_t i = 0; i < head_dim / Q4_BLOCK; i++)
        d[i] = finite && d[i] < 65504.0f ? d[i] : NAN;
}

#endif
