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

INLINE float element(const void *block, size_t i, enum q4_kv_form form) {
    return form == Q4_KV_Q8_0 ? (float)((const int8_t *)block)[i] : q4_half_to_float(((const uint16_t *)block)[i]);
}

// s[t] = sum from s[t] over n d, in order, of q[d] * k[d][t].
INLINE void add_scores(float s[16], const float *q, const void *k, size_t first, size_t n, enum q4_kv_form form) {
    for (size_t d = 0; d < n; d++)
        for (size_t t = 0; t < 16; t++)
            s[t] = fmaf(q[d], element(k, first + d * Q4_KV_BLOCK + t, form), s[t]);
}

// Scores of a block; lanes are positions. Of int8 each Q4_BLOCK dimensions have a sum of their own, which is scaled.
INLINE void block_scores(float scores[Q4_KV_BLOCK], const float *q, const uint8_t *k, size_t head_dim,
                         enum q4_kv_form form) {
    const uint16_t *scales = q4_kv_scales(k, head_dim);
    for (size_t t0 = 0; t0 < Q4_KV_BLOCK; t0 += 16) {
        float s[16] = {0};
        if (form == Q4_KV_F16)
            add_scores(s, q, k, t0, head_dim, form);
        for (size_t d = 0; form == Q4_KV_Q8_0 && d < head_dim; d += Q4_BLOCK) {
            float part[16] = {0};
            add_scores(part, q + d, k, d * Q4_KV_BLOCK + t0, Q4_BLOCK, form);
            for (size_t t = 0; t < 16; t++)
                s[t] = fmaf(part[t], q4_half_to_float(scales[d / Q4_BLOCK * Q4_KV_BLOCK + t0 + t]), s[t]);
        }
        memcpy(scores + t0, s, sizeof s);
    }
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
    float qh[Q4_MAX_HEAD_DIM], scores[Q4_KV_BLOCK], acc[Q4_MAX_HEAD_DIM];
    size_t dim = args->head_dim, start = q4_attn_first_block(view), bytes = q4_kv_block_bytes(form, dim);
    const uint8_t *keys = args->keys, *values = args->values;
    for (size_t d = 0; d < dim; d++)
        qh[d] = q4_round_half(q[d] * args->scale);
    q4_attn_state total = {0};
    for (size_t p = start; p < view.end; p += Q4_KV_BLOCK) {
        q4_attn_view seen = q4_attn_view_in_block(view, p);
        block_scores(scores, qh, keys + p / Q4_KV_BLOCK * bytes, dim, form);
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
