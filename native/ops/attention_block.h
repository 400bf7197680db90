// What every attention does the same way: a block's softmax, and the merge of blocks (docs/arithmetic.md, "Attention").
#ifndef Q4_ATTENTION_BLOCK_H
#define Q4_ATTENTION_BLOCK_H

#include "ops.h"
#include "q4math.h"

// The positions of the block at p that a view has, from the block's first on. None: end is 0.
static inline q4_attn_view q4_attn_view_in_block(q4_attn_view view, size_t p) {
    size_t first = view.first > p ? view.first - p : 0, end = view.end > p ? q4_min_size(view.end - p, Q4_KV_BLOCK) : 0;
    return first < end ? (q4_attn_view){first, end} : (q4_attn_view){0, 0};
}

// The start of the first block that a view has positions of.
static inline size_t q4_attn_first_block(q4_attn_view view) { return view.first / Q4_KV_BLOCK * Q4_KV_BLOCK; }

// Scores to weights e^(score - max), rounded to fp16, in place; positions that are not seen become 0.
static inline q4_attn_state q4_block_softmax(float scores[Q4_KV_BLOCK], q4_attn_view seen) {
    q4_attn_state state = {.max = scores[seen.first]};
    for (size_t t = seen.first + 1; t < seen.end; t++)
        state.max = scores[t] > state.max ? scores[t] : state.max;
    for (size_t t = 0; t < seen.first; t++)
        scores[t] = state.max;
    for (size_t t = seen.end; t < Q4_KV_BLOCK; t++)
        scores[t] = state.max; // stale lanes of the cache must not reach the exponential
    for (size_t t = 0; t < Q4_KV_BLOCK; t++)
        scores[t] = q4_round_half(q4_expf(scores[t] - state.max));
    for (size_t t = 0; t < seen.first; t++)
        scores[t] = 0.0f;
    for (size_t t = seen.end; t < Q4_KV_BLOCK; t++)
        scores[t] = 0.0f;
    float s[16];
    for (size_t j = 0; j < 16; j++)
        s[j] = ((scores[j] + scores[16 + j]) + scores[32 + j]) + scores[48 + j];
    state.sum = q4_fold16(s);
    return state;
}

// Folds block (b, acc) into the running result (*a, out): both are rescaled to the larger maximum.
static inline void q4_attn_merge(q4_attn_state *a, float *out, q4_attn_state b, const float *acc, size_t head_dim) {
    float max = b.max > a->max ? b.max : a->max;
    float old = q4_expf(a->max - max), new = q4_expf(b.max - max);
    a->max = max;
    a->sum = fmaf(b.sum, new, a->sum * old);
    for (size_t d = 0; d < head_dim; d++)
        out[d] = fmaf(acc[d], new, out[d] * old);
}

#endif
