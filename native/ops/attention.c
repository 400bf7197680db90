// Attention over a KV cache, block by block (docs/arithmetic.md, "Attention").
#include "attention_block.h"
#include "kv_q8_0.h"

#define INLINE static inline __attribute__((always_inline)) // the form is known

bool Q4_NAME(q4_kv_store)(void *keys, void *values, const float *k, const float *v, size_t head_dim, size_t position) {
    uint16_t *kb = (uint16_t *)keys + position / Q4_KV_BLOCK * Q4_KV_BLOCK * head_dim + position % Q4_KV_BLOCK;
    uint16_t *vp = (uint16_t *)values + position * head_dim;
    uint32_t worst = 0;
    for (size_t d = 0; d < head_dim; d++) {
        uint16_t a = q4_float_to_half(k[d]), b = q4_float_to_half(v[d]);
        kb[d * Q4_KV_BLOCK] = a;
        vp[d] = b;
        uint32_t larger = (a & 0x7fffu) > (b & 0x7fffu) ? (a & 0x7fffu) : (b & 0x7fffu);
        worst = larger > worst ? larger : worst;
    }
    return worst < 0x7c00u;
}

q4_quantizer Q4_NAME(q4_quantize_q8);

bool Q4_NAME(q4_kv_store_q8_0)(void *keys, void *values, const float *k, const float *v, size_t head_dim,
                               size_t position) {
    return q4_kv_store_int8(Q4_NAME(q4_quantize_q8), keys, values, k, v, head_dim, position);
}

// A query as its scores take it.
struct query {
    float half[Q4_MAX_HEAD_DIM]; // fp16 values, or
    int8_t q[Q4_MAX_HEAD_DIM];
    float scales[Q4_MAX_HEAD_DIM / Q4_BLOCK];
};

INLINE void load_query(struct query *to, const float *q, const q4_attn_args *args, enum q4_kv_form form) {
    int32_t sums[Q4_MAX_HEAD_DIM / Q4_BLOCK];
    if (form == Q4_KV_Q8_0)
        q4_kv_int8_query(Q4_NAME(q4_quantize_q8), to->q, to->scales, sums, q, args->scale, args->head_dim);
    for (size_t d = 0; form == Q4_KV_F16 && d < args->head_dim; d++)
        to->half[d] = q4_round_half(q[d] * args->scale);
}

// Lanes are positions, dimensions come in order.
INLINE void half_scores(float scores[Q4_KV_BLOCK], const float *q, const uint16_t *k, size_t head_dim) {
    for (size_t t0 = 0; t0 < Q4_KV_BLOCK; t0 += 16) {
        float s[16] = {0};
        for (size_t d = 0; d < head_dim; d++)
            for (size_t t = 0; t < 16; t++)
                s[t] = fmaf(q[d], q4_half_to_float(k[d * Q4_KV_BLOCK + t0 + t]), s[t]);
        memcpy(scores + t0, s, sizeof s);
    }
}

// Each Q4_BLOCK dimensions have an exact sum, as in a matrix product of int8.
INLINE void int8_scores(float scores[Q4_KV_BLOCK], const struct query *q, const int8_t *k, size_t head_dim) {
    const uint16_t *scales = q4_kv_scales(k, head_dim);
    for (size_t t = 0; t < Q4_KV_BLOCK; t++) {
        scores[t] = 0.0f;
        for (size_t b = 0; b < head_dim / Q4_BLOCK; b++) {
            int32_t sum = 0;
            for (size_t d = b * Q4_BLOCK; d < (b + 1) * Q4_BLOCK; d++)
                sum += q->q[d] * k[q4_kv_int8_key(d / 4 * 4, t) + d % 4];
            float scale = q->scales[b] * q4_half_to_float(scales[b * Q4_KV_BLOCK + t]);
            scores[t] = fmaf((float)sum, scale, scores[t]);
        }
    }
}

INLINE float element(const void *block, size_t i, enum q4_kv_form form) {
    return form == Q4_KV_Q8_0 ? (float)((const int8_t *)block)[i] : q4_half_to_float(((const uint16_t *)block)[i]);
}

// acc[d] = sum over the positions seen, in order, of weight[t] * v[t][d]; lanes are dimensions. A weight times a scale
// is exact.
INLINE void block_values(float *acc, const float *weights, const uint8_t *v, q4_attn_view seen, size_t head_dim,
                         enum q4_kv_form form) {
    const uint16_t *scales = q4_kv_scales(v, head_dim);
    size_t at_once = form == Q4_KV_Q8_0 ? Q4_BLOCK : head_dim;
    memset(acc, 0, head_dim * sizeof *acc);
    for (size_t t = seen.first; t < seen.end; t++)
        for (size_t d0 = 0; d0 < head_dim; d0 += at_once) {
            float x = weights[t];
            if (form == Q4_KV_Q8_0)
                x *= q4_half_to_float(scales[d0 / Q4_BLOCK * Q4_KV_BLOCK + t]);
            for (size_t d = d0; d < d0 + at_once; d++)
                acc[d] = fmaf(x, element(v, t * head_dim + d, form), acc[d]);
        }
}

INLINE q4_attn_state attend_head(float *out, const float *q, q4_attn_view view, const q4_attn_args *args,
                                 enum q4_kv_form form) {
    float scores[Q4_KV_BLOCK], acc[Q4_MAX_HEAD_DIM];
    struct query query; // large: what is not used is not cleared
    size_t dim = args->head_dim, start = q4_attn_first_block(view), bytes = q4_kv_block_bytes(form, dim);
    const uint8_t *keys = args->keys, *values = args->values;
    load_query(&query, q, args, form);
    q4_attn_state total = {0};
    for (size_t p = start; p < view.end; p += Q4_KV_BLOCK) {
        q4_attn_view seen = q4_attn_view_in_block(view, p);
        const void *block = keys + p / Q4_KV_BLOCK * bytes;
        if (form == Q4_KV_Q8_0)
            int8_scores(scores, &query, block, dim);
        else
            half_scores(scores, query.half, block, dim);
        for (size_t t = seen.first; args->logit_cap != 0.0f && t < seen.end; t++)
            scores[t] = q4_soft_cap(scores[t], args->logit_cap);
        q4_attn_state state = q4_block_softmax(scores, seen);
        block_values(p > start ? acc : out, scores, values + p / Q4_KV_BLOCK * bytes, seen, dim, form);
        if (p > start)
            q4_attn_merge(&total, out, state, acc, dim);
        else
            total = state;
    }
    return total;
}

INLINE void attend(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args, enum q4_kv_form form) {
    size_t dim = args->head_dim;
    for (size_t t = 0; t < args->n_tokens; t++, acc += args->acc_stride, q += args->q_stride)
        for (size_t h = 0; h < args->n_heads; h++)
            *states++ = attend_head(acc + h * dim, q + h * dim, q4_attn_view_of(args, t), args, form);
}

void Q4_NAME(q4_attention)(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args) {
    attend(acc, states, q, args, Q4_KV_F16);
}

void Q4_NAME(q4_attention_q8_0)(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args) {
    attend(acc, states, q, args, Q4_KV_Q8_0);
}

void Q4_NAME(q4_attention_merge)(float *acc, q4_attn_state *state, const float *later, q4_attn_state other,
                                 size_t head_dim) {
    q4_attn_merge(state, acc, other, later, head_dim);
}

void Q4_NAME(q4_attention_finish)(float *acc, float sum, size_t head_dim) {
    float inverse = 1.0f / sum;
    for (size_t d = 0; d < head_dim; d++)
        acc[d] *= inverse;
}
