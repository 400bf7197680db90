// Attention over a fp16 KV cache, block by block (docs/arithmetic.md, "Attention").
#include "attention_block.h"

bool Q4_NAME(q4_kv_store)(uint16_t *keys, uint16_t *values, const float *k, const float *v, size_t head_dim,
                          size_t position) {
    uint16_t *kb = keys + position / Q4_KV_BLOCK * Q4_KV_BLOCK * head_dim + position % Q4_KV_BLOCK;
    uint16_t *vp = values + position * head_dim;
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

// scores[t] = sum over d, in order, of q[d] * k[d][t]; lanes are positions.
static void block_scores(float scores[Q4_KV_BLOCK], const float *q, const uint16_t *k, size_t head_dim) {
    for (size_t t0 = 0; t0 < Q4_KV_BLOCK; t0 += 16) {
        float s[16] = {0};
        for (size_t d = 0; d < head_dim; d++)
            for (size_t t = 0; t < 16; t++)
                s[t] = fmaf(q[d], q4_half_to_float(k[d * Q4_KV_BLOCK + t0 + t]), s[t]);
        memcpy(scores + t0, s, sizeof s);
    }
}

// acc[d] = sum over the positions seen, in order, of weight[t] * v[t][d]; lanes are dimensions.
static void block_values(float *acc, const float *weights, const uint16_t *v, q4_attn_view seen, size_t head_dim) {
    memset(acc, 0, head_dim * sizeof *acc);
    for (size_t t = seen.first; t < seen.end; t++)
        for (size_t d = 0; d < head_dim; d++)
            acc[d] = fmaf(weights[t], q4_half_to_float(v[t * head_dim + d]), acc[d]);
}

static q4_attn_state attend_head(float *out, const float *q, q4_attn_view view, const q4_attn_args *args) {
    float qh[Q4_MAX_HEAD_DIM], scores[Q4_KV_BLOCK], acc[Q4_MAX_HEAD_DIM];
    size_t dim = args->head_dim, start = q4_attn_first_block(view);
    for (size_t d = 0; d < dim; d++)
        qh[d] = q4_round_half(q[d] * args->scale);
    q4_attn_state total = {0};
    for (size_t p = start; p < view.end; p += Q4_KV_BLOCK) {
        q4_attn_view seen = q4_attn_view_in_block(view, p);
        block_scores(scores, qh, args->keys + p * dim, dim);
        for (size_t t = seen.first; args->logit_cap != 0.0f && t < seen.end; t++)
            scores[t] = q4_soft_cap(scores[t], args->logit_cap);
        q4_attn_state state = q4_block_softmax(scores, seen);
        block_values(p > start ? acc : out, scores, args->values + p * dim, seen, dim);
        if (p > start)
            q4_attn_merge(&total, out, state, acc, dim);
        else
            total = state;
    }
    return total;
}

void Q4_NAME(q4_attention)(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args) {
    for (size_t t = 0; t < args->n_tokens; t++, acc += args->acc_stride, q += args->q_stride)
        for (size_t h = 0; h < args->n_heads; h++)
            *states++ = attend_head(acc + h * args->head_dim, q + h * args->head_dim, q4_attn_view_of(args, t), args);
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
