// The operations that are not matrix products, each run once on synthetic data.
#include "operations.h"

#include "cost.h"

#include <stdio.h>
#include <string.h>

#define HEAD_DIM 64
#define HEADS 3
#define TOKENS 8

static float *random_floats(size_t n) {
    float *x = q4_cost_allocate(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = ((float)q4_cost_random() - 8388608.0f) / 4194304.0f;
    return x;
}

static void rms_norm(const struct q4_ops *ops, size_t n) {
    float *x = random_floats(n), *w = random_floats(n), *y = random_floats(n);
    q4_cost_begin();
    ops->rms_norm(y, x, w, n, 1e-5f);
    q4_cost_end();
}

static void quantize_q8(const struct q4_ops *ops, size_t n) {
    float *x = random_floats(n), *d = random_floats(n);
    int32_t *sum = q4_cost_allocate(n);
    int8_t *q = q4_cost_allocate(n);
    bool (*quantize)(const float *, size_t, int8_t *, float *, int32_t *) = ops->quantize[Q4_ACT_Q8];
    q4_cost_begin(); // the look-up is the caller's
    quantize(x, n, q, d, sum);
    q4_cost_end();
}

static void quantize_q8k(const struct q4_ops *ops, size_t n) {
    float *x = random_floats(n), *d = random_floats(n);
    int8_t *q = q4_cost_allocate(n);
    bool (*quantize)(const float *, size_t, int8_t *, float *, int32_t *) = ops->quantize[Q4_ACT_Q8K];
    q4_cost_begin(); // the look-up is the caller's
    quantize(x, n, q, d, NULL);
    q4_cost_end();
}

static void rope_norm(const struct q4_ops *ops, size_t n) {
    float *x = random_floats(n), *angles = random_floats(n);
    q4_cost_begin();
    ops->rope(x, angles, n, Q4_ROPE_NORM);
    q4_cost_end();
}

static void rope_neox(const struct q4_ops *ops, size_t n) {
    float *x = random_floats(n), *angles = random_floats(n);
    q4_cost_begin();
    ops->rope(x, angles, n, Q4_ROPE_NEOX);
    q4_cost_end();
}

static void store(const struct q4_ops *ops, size_t n, enum q4_kv_form form) {
    float *k = random_floats(n), *v = random_floats(n);
    size_t bytes = q4_kv_block_bytes(form, n);
    uint8_t *keys = q4_cost_allocate(bytes), *values = q4_cost_allocate(bytes);
    const struct q4_kv_ops *kv = &ops->kv[form];
    q4_cost_begin();
    kv->store(keys, values, k, v, n, 0);
    q4_cost_end();
}

static void kv_store(const struct q4_ops *ops, size_t n) { store(ops, n, Q4_KV_F16); }
static void kv_store_q8_0(const struct q4_ops *ops, size_t n) { store(ops, n, Q4_KV_Q8_0); }

static void activate(const struct q4_ops *ops, size_t n, enum q4_activation activation) {
    float *gate = random_floats(n), *up = random_floats(n), *y = random_floats(n);
    void (*gated)(float *, const float *, const float *, size_t) = ops->gated[activation];
    q4_cost_begin(); // the look-up is the caller's
    gated(y, gate, up, n);
    q4_cost_end();
}

static void swiglu(const struct q4_ops *ops, size_t n) { activate(ops, n, Q4_ACTIVATION_SILU); }
static void geglu(const struct q4_ops *ops, size_t n) { activate(ops, n, Q4_ACTIVATION_GELU); }

static void add(const struct q4_ops *ops, size_t n) {
    float *x = random_floats(n), *y = random_floats(n);
    q4_cost_begin();
    ops->add(y, x, n);
    q4_cost_end();
}

static void all_finite(const struct q4_ops *ops, size_t n) {
    float *x = random_floats(n);
    q4_cost_begin();
    ops->all_finite(x, n);
    q4_cost_end();
}

static void attend(const struct q4_ops *ops, size_t positions, size_t heads, size_t tokens, enum q4_kv_form form) {
    float *q = random_floats(tokens * heads * HEAD_DIM), *acc = random_floats(tokens * heads * HEAD_DIM);
    q4_attn_state *states = q4_cost_allocate(tokens * heads * sizeof *states);
    const struct q4_kv_ops *kv = &ops->kv[form];
    size_t bytes = q4_round_up(positions, Q4_KV_BLOCK) / Q4_KV_BLOCK * q4_kv_block_bytes(form, HEAD_DIM);
    uint8_t *keys = q4_cost_allocate(bytes), *values = q4_cost_allocate(bytes);
    float *k = random_floats(HEAD_DIM), *v = random_floats(HEAD_DIM);
    for (size_t p = 0; p < positions; p++)
        kv->store(keys, values, k, v, HEAD_DIM, p);
    q4_attn_args args = {.keys = keys,
                         .values = values,
                         .head_dim = HEAD_DIM,
                         .n_heads = heads,
                         .n_tokens = tokens,
                         .q_stride = heads * HEAD_DIM,
                         .acc_stride = heads * HEAD_DIM,
                         .n_positions = positions - tokens + 1,
                         .scale = 0.125f};
    q4_cost_begin();
    kv->attention(acc, states, q, &args);
    q4_cost_end();
}

#define ATTENTION(NAME, HEADS, TOKENS)                                                                                 \
    static void NAME(const struct q4_ops *ops, size_t n) { attend(ops, n, HEADS, TOKENS, Q4_KV_F16); }                 \
    static void NAME##_q8_0(const struct q4_ops *ops, size_t n) { attend(ops, n, HEADS, TOKENS, Q4_KV_Q8_0); }

ATTENTION(attention_1, 1, 1)
ATTENTION(attention_gqa, HEADS, 1)
ATTENTION(attention_prefill, HEADS, TOKENS)

static const struct {
    const char *name;
    void (*run)(const struct q4_ops *ops, size_t size);
    size_t size;
    const char *unit;
    size_t units_each; // of one element or position
} operations[] = {
    {"rms_norm", rms_norm, 1024, "element", 1},
    {"quantize_q8", quantize_q8, 1024, "element", 1},
    {"quantize_q8k", quantize_q8k, 1024, "element", 1},
    {"rope_norm", rope_norm, 64, "element", 1},
    {"rope_neox", rope_neox, 64, "element", 1},
    {"kv_store", kv_store, 64, "element", 1},
    {"kv_store_q8_0", kv_store_q8_0, 64, "element", 1},
    {"swiglu", swiglu, 1024, "element", 1},
    {"geglu", geglu, 1024, "element", 1},
    {"add", add, 1024, "element", 1},
    {"all_finite", all_finite, 1024, "element", 1},
    // head size 64
    {"attention_decode", attention_1, 512, "head x position", 1},
    {"attention_decode_gqa", attention_gqa, 512, "head x position", HEADS},
    {"attention_prefill", attention_prefill, 512, "head x position", HEADS * TOKENS},
    {"attention_decode_q8_0", attention_1_q8_0, 512, "head x position", 1},
    {"attention_decode_gqa_q8_0", attention_gqa_q8_0, 512, "head x position", HEADS},
    {"attention_prefill_q8_0", attention_prefill_q8_0, 512, "head x position", HEADS * TOKENS},
};

bool q4_cost_operation(const struct q4_ops *ops, const char *name, size_t size) {
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (strcmp(operations[i].name, name) == 0) {
            operations[i].run(ops, size);
            return true;
        }
    return false;
}

void q4_cost_list_operations(void) {
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        printf("operation,%s,%zu,%s,%zu\n", operations[i].name, operations[i].size, operations[i].unit,
               operations[i].size * operations[i].units_each);
}
