// The operations that are not matrix products. Each file of this folder is compiled once a variant (base, and on x86
// AVX2 and AVX-512 too) from the same source; `struct q4_ops` is one variant. The source spells the arithmetic out
// (docs/arithmetic.md), so all variants give the same bits; SIMD kernels under arm/ and x86/ may replace an entry.
#ifndef Q4_OPS_H
#define Q4_OPS_H

#include "../kv_form.h"
#include "../q4.h"
#include "../types/types.h"

#define Q4_JOIN_(a, b) a##_##b
#define Q4_JOIN(a, b) Q4_JOIN_(a, b)
#define Q4_NAME(function) Q4_JOIN(function, Q4_VARIANT) // q4_rms_norm -> q4_rms_norm_avx2

// ---- the KV cache: one head's keys and values ---------------------------------------------------
// Walked in blocks of Q4_KV_BLOCK positions that start at absolute position 0; a span is a fixed number of blocks.
// Keys of a block: [dim][Q4_KV_BLOCK], so that lanes are positions and a dot product needs no horizontal sum.
// Values of a block: [Q4_KV_BLOCK][dim], so that lanes are dimensions.
// Elements are fp16, or int8; then the block's scales follow, fp16: [dim / Q4_BLOCK][Q4_KV_BLOCK]. Of int8 keys four
// dimensions of a position lie together, as products of bytes take them: [dim / 4][Q4_KV_BLOCK][4].
#define Q4_KV_BLOCK 64
#define Q4_KV_SPAN 512
#define Q4_MAX_HEAD_DIM 512

// Bytes of a block's keys, or of its values, of one head: whole cache lines.
static inline size_t q4_kv_block_bytes(enum q4_kv_form form, size_t head_dim) {
    return head_dim / q4_kv_traits[form].columns * q4_kv_traits[form].bytes * Q4_KV_BLOCK;
}

// Where dimensions d to d + 3 of the key of position t are in a block of int8.
static inline size_t q4_kv_int8_key(size_t d, size_t t) { return d * Q4_KV_BLOCK + 4 * t; }

// Of a block of int8.
static inline const uint16_t *q4_kv_scales(const void *block, size_t head_dim) {
    return (const uint16_t *)(const void *)((const uint8_t *)block + Q4_KV_BLOCK * head_dim);
}

// What attending to some positions came to: softmax numerators are relative to `max`, and not yet divided by `sum`.
typedef struct {
    float max;
    float sum;
} q4_attn_state;

// One span of the cache, for n_heads query heads (contiguous in q and acc) that share its KV head, at n_tokens
// consecutive positions.
typedef struct {
    const void *keys, *values; // from the span's first block on
    size_t head_dim;           // at most Q4_MAX_HEAD_DIM
    size_t n_heads, n_tokens;
    size_t q_stride, acc_stride; // floats from one token to the next
    size_t n_positions;          // token t's own position is n_positions + t - 1, counted from the span's first
    size_t window;               // positions that a token sees, its own included; 0: all before it
    float scale;                 // applied to q before q is rounded to fp16, or to int8 where keys are
    float logit_cap;             // scores s become cap * tanh(s / cap); 0: they stay
} q4_attn_args;

// The span's positions that token t sees: from `first` to before `end`. Every token of a call sees at least one.
typedef struct {
    size_t first, end;
} q4_attn_view;

static inline q4_attn_view q4_attn_view_of(const q4_attn_args *args, size_t t) {
    size_t end = args->n_positions + t;
    return (q4_attn_view){args->window && end > args->window ? end - args->window : 0, q4_min_size(end, Q4_KV_SPAN)};
}

// Which elements of a head form a pair: neighbours (GGUF's llama), or i and i + rope_dim / 2 (qwen2).
enum q4_rope_style { Q4_ROPE_NORM, Q4_ROPE_NEOX, Q4_ROPE_STYLES };

// What a feed-forward network does to its gate.
enum q4_activation {
    Q4_ACTIVATION_SILU,
    Q4_ACTIVATION_GELU, // tanh's form
    Q4_ACTIVATIONS
};

// What is done with a KV cache of one form. Stores return false where a value is not finite or too large for it.
struct q4_kv_ops {
    // one position's key and value of one head into the cache
    bool (*store)(void *keys, void *values, const float *k, const float *v, size_t head_dim, size_t position);
    // the same for 16 positions of one block, whose k and v are `stride` floats apart; NULL where there is none
    bool (*store_16)(void *keys, void *values, const float *k, const float *v, size_t stride, size_t head_dim,
                     size_t position);
    // acc[t * acc_stride + h * head_dim ..] and states[t * n_heads + h] from q[t * q_stride + h * head_dim ..]
    void (*attention)(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args);
};

// ---- one variant --------------------------------------------------------------------------------
// Functions that return bool return false where they met a value that is not finite.
struct q4_ops {
    const char *name;
    const struct q4_type *const *types; // of the same variant, ending with NULL
    // y[i] = (x[i] / sqrt(mean(x^2) + eps)) * w[i]
    bool (*rms_norm)(float *y, const float *x, const float *w, size_t n, float eps);
    // y[i] = (x[i] - mean(x)) / sqrt(variance(x) + eps)
    bool (*layer_norm)(float *y, const float *x, size_t n, float eps);
    // x[n] to a form's q[n], d[n / block] and, where it has them, sum[n / block]; NULL for floats as they are
    bool (*quantize[Q4_ACT_FORMS])(const float *x, size_t n, int8_t *q, float *d, int32_t *sum);
    // rotates one head in place; cos_sin: rope_dim/2 cosines, then as many sines
    void (*rope)(float *x, const float *cos_sin, size_t rope_dim, enum q4_rope_style style);
    struct q4_kv_ops kv[Q4_KV_FORMS];
    // what a call of it should have of a prompt: at least so many tokens, and more until they are so many rows with the
    // heads that share a KV head
    size_t attention_tokens, attention_rows;
    // folds a later span's result into an earlier one's
    void (*attention_merge)(float *acc, q4_attn_state *state, const float *later, q4_attn_state other, size_t head_dim);
    // acc[i] /= sum, as a product with the reciprocal
    void (*attention_finish)(float *acc, float sum, size_t head_dim);
    // y[i] = activation(gate[i]) * up[i]
    void (*gated[Q4_ACTIVATIONS])(float *y, const float *gate, const float *up, size_t n);
    // y[i] = cap * tanh(y[i] / cap)
    void (*cap)(float *y, size_t n, float cap);
    // y[i] to -limit … limit
    void (*clamp)(float *y, size_t n, float limit);
    // y[i] *= scale
    void (*scale)(float *y, size_t n, float scale);
    // y[i] += x[i]
    void (*add)(float *y, const float *x, size_t n);
    // y[i] += weight * x[i], rounded once
    void (*add_scaled)(float *y, const float *x, size_t n, float weight);
    // the `used` experts of highest score, equal ones by rising index, and the share of each in the softmax of all n
    // scores; normalised: of those of the experts chosen
    bool (*route)(int32_t *experts, float *weights, const float *scores, size_t n, size_t used, bool normalised);
    float (*sigmoid)(float x);
    // whether all of x[n] is finite
    bool (*all_finite)(const float *x, size_t n);
    // y[16 rows] of weights [column][16 rows]; one accumulator a row, columns in order
    void (*dot16_f32)(float y[16], const float *w, const float *x, size_t n);
    void (*dot16_f16)(float y[16], const uint16_t *w, const float *x, size_t n);
    void (*dot16_bf16)(float y[16], const uint16_t *w, const float *x, size_t n);
};

extern const struct q4_ops q4_ops_base;

#endif
