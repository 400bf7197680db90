// Attention and the KV cache of every variant against the base one.
#include "test.h"

#include "../ops/q4math.h"

#include <math.h>
#include <stdlib.h>

#define UNSEEN 0x7e // 7e7e is NaN: what the cache holds at positions that no query may use

struct subject {
    const struct q4_ops *ops;
    enum q4_kv_form form;
};

static size_t blocks_of(size_t n_positions) { return q4_round_up(n_positions, Q4_KV_BLOCK) / Q4_KV_BLOCK; }

// A cache of whole blocks, filled up to n_positions; NaN behind.
static void random_cache(struct rng *r, q4_attn_args *args, size_t n_positions, enum q4_kv_form form) {
    size_t dim = args->head_dim, block = q4_kv_block_bytes(form, dim), n = blocks_of(n_positions) * block;
    // fp16 values are read position by position, so nothing lies behind the last one
    size_t n_values = form == Q4_KV_F16 ? n_positions * dim * sizeof(uint16_t) : n;
    uint8_t *keys = slot_place(&slots[SLOT_Q], r, n, sizeof(uint16_t));
    uint8_t *values = slot_place(&slots[SLOT_WEIGHTS], r, n_values, sizeof(uint16_t));
    float *x = malloc(2 * dim * sizeof *x);
    memset(keys, UNSEEN, n);
    memset(values, UNSEEN, n_values);
    float largest = rng_next(r) & 1 ? 60000.0f : 8.0f;
    for (size_t p = 0; p < n_positions; p++) {
        rng_fill(r, x, dim, largest);
        rng_fill(r, x + dim, dim, largest);
        q4_ops_base.kv[form].store(keys, values, x, x + dim, dim, p);
    }
    free(x);
    args->keys = keys;
    args->values = values;
}

static bool attention_case(struct rng *r, const void *subject, char *what, size_t size) {
    static const size_t dims[] = {32, 64, 96, 128, 256, 512, 8, 16, 80, 12};
    const struct subject *of = subject;
    const struct q4_kv_ops *ops = &of->ops->kv[of->form];
    q4_attn_args args = {
        .head_dim = dims[rng_next(r) % (of->form == Q4_KV_F16 ? 10 : 6)], .n_heads = rng_range(r, 1, 8), .n_tokens = 1};
    args.n_positions = rng_range(r, 1, rng_next(r) % 4 ? 300 : Q4_KV_SPAN + 20);
    if (rng_next(r) & 1)
        args.n_tokens = rng_range(r, 1, 40);
    while (args.n_positions * args.n_tokens * args.n_heads * args.head_dim > 400000 && args.n_tokens > 1)
        args.n_tokens = (args.n_tokens + 1) / 2;
    args.scale = 1.0f / sqrtf((float)args.head_dim);
    size_t row = args.n_heads * args.head_dim;
    args.q_stride = row + rng_range(r, 0, 40);
    args.acc_stride = row + (rng_next(r) & 1 ? 0 : rng_range(r, 0, 40));
    if (rng_next(r) & 1) // any that leaves every token something of the span
        args.window = rng_range(
            r, args.n_positions + args.n_tokens > Q4_KV_SPAN ? args.n_positions + args.n_tokens - Q4_KV_SPAN : 1,
            rng_next(r) & 1 ? 80 + args.n_positions + args.n_tokens : args.n_positions + args.n_tokens);
    args.logit_cap = rng_next(r) % 3 ? 0.0f : rng_next(r) & 1 ? 50.0f : 1.5f;
    random_cache(r, &args, q4_min_size(args.n_positions + args.n_tokens - 1, Q4_KV_SPAN), of->form);
    size_t n_q = (args.n_tokens - 1) * args.q_stride + row, n_out = (args.n_tokens - 1) * args.acc_stride + row;
    float *q = slot_place(&slots[SLOT_X], r, n_q * sizeof *q, sizeof *q);
    rng_fill(r, q, n_q, rng_next(r) & 1 ? 1000.0f : 8.0f);
    float *out = slot_place(&slots[SLOT_Y], r, n_out * sizeof *out, sizeof *out),
          *expected = malloc(n_out * sizeof *out);
    memset(out, 0xa5, n_out * sizeof *out);
    memset(expected, 0xa5, n_out * sizeof *out);
    size_t n_states = args.n_tokens * args.n_heads;
    q4_attn_state *states = slot_place(&slots[SLOT_D], r, n_states * sizeof *states, sizeof(float));
    q4_attn_state *states_expected = malloc(n_states * sizeof *states);
    q4_ops_base.kv[of->form].attention(expected, states_expected, q, &args);
    ops->attention(out, states, q, &args);
    snprintf(what, size, "%zu heads of %zu, %zu tokens, %zu positions, window %zu, cap %g", args.n_heads, args.head_dim,
             args.n_tokens, args.n_positions, args.window, (double)args.logit_cap);
    bool right = same_bits(out, expected, n_out, sizeof *out, what, size) &&
                 same_bits(states, states_expected, 2 * n_states, sizeof(float), what, size) && slots_intact();
    free(expected);
    free(states_expected);
    return right;
}

// What a query with a value that is not finite, or too large for either form, comes to is not finite.
static bool no_number_case(struct rng *r, const void *subject, char *what, size_t size) {
    static const float values[] = {NAN, INFINITY, -INFINITY, 1e30f};
    const struct subject *of = subject;
    q4_attn_args args = {.head_dim = 64, .n_heads = rng_range(r, 1, 7), .n_tokens = 1, .scale = 0.125f};
    args.n_positions = rng_range(r, 1, 200);
    args.q_stride = args.acc_stride = args.n_heads * args.head_dim;
    random_cache(r, &args, args.n_positions, of->form);
    float *q = slot_place(&slots[SLOT_X], r, args.q_stride * sizeof *q, sizeof *q);
    float *out = slot_place(&slots[SLOT_Y], r, args.q_stride * sizeof *out, sizeof *out);
    q4_attn_state states[8];
    rng_fill(r, q, args.q_stride, 8.0f);
    size_t place = rng_range(r, 0, args.q_stride - 1), head = place / args.head_dim;
    q[place] = values[rng_next(r) % 4];
    of->ops->kv[of->form].attention(out, states, q, &args);
    of->ops->attention_finish(out + head * args.head_dim, states[head].sum, args.head_dim);
    snprintf(what, size, "%g at %zu of %zu, %zu positions", (double)q[place], place, args.q_stride, args.n_positions);
    bool finite = of->ops->all_finite(out + head * args.head_dim, args.head_dim);
    return !finite && slots_intact();
}

// Merging two spans and dividing by the sum, on values that attention may have left.
static bool merge_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_ops *ops = subject;
    size_t dim = rng_range(r, 1, 160);
    float *acc = slot_place(&slots[SLOT_Y], r, dim * sizeof *acc, sizeof *acc), expected[160];
    float *later = slot_place(&slots[SLOT_X], r, dim * sizeof *later, sizeof *later), maxima[2], sums[2];
    rng_fill(r, acc, dim, 1000.0f);
    rng_fill(r, later, dim, 1000.0f);
    rng_fill(r, maxima, 2, rng_next(r) & 1 ? 10.0f : 1e6f);
    rng_fill(r, sums, 2, 500.0f);
    memcpy(expected, acc, dim * sizeof *acc);
    q4_attn_state state = {maxima[0], fabsf(sums[0]) + 1.0f}, other = {maxima[1], fabsf(sums[1]) + 1.0f}, same = state;
    q4_ops_base.attention_merge(expected, &same, later, other, dim);
    q4_ops_base.attention_finish(expected, same.sum, dim);
    ops->attention_merge(acc, &state, later, other, dim);
    ops->attention_finish(acc, state.sum, dim);
    snprintf(what, size, "head size %zu, maxima %g and %g", dim, (double)maxima[0], (double)maxima[1]);
    return same_bits(acc, expected, dim, sizeof *acc, what, size) && same_bits(&state, &same, 2, 4, what, size) &&
           slots_intact();
}

// Keys and values of blocks that hold 0xa5, in places of their own, and what they are to become.
struct stored {
    size_t bytes; // of keys, and of values
    uint8_t *keys, *values, *expected;
};

static struct stored stored_blocks(struct rng *r, enum q4_kv_form form, size_t blocks, size_t dim) {
    struct stored s = {.bytes = blocks * q4_kv_block_bytes(form, dim)};
    s.keys = slot_place(&slots[SLOT_Q], r, s.bytes, sizeof(uint16_t));
    s.values = slot_place(&slots[SLOT_WEIGHTS], r, s.bytes, sizeof(uint16_t));
    s.expected = malloc(2 * s.bytes);
    memset(s.keys, 0xa5, s.bytes);
    memset(s.values, 0xa5, s.bytes);
    memset(s.expected, 0xa5, 2 * s.bytes);
    return s;
}

static bool stored_right(struct stored *s, char *what, size_t size) {
    bool right = same_bits(s->keys, s->expected, s->bytes, 1, what, size) &&
                 same_bits(s->values, s->expected + s->bytes, s->bytes, 1, what, size) && slots_intact();
    free(s->expected);
    return right;
}

// Some that the form can have.
static size_t any_dim(struct rng *r, enum q4_kv_form form) {
    size_t columns = q4_kv_traits[form].columns;
    return columns * rng_range(r, 1, 160 / columns);
}

static bool kv_store_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct subject *of = subject;
    size_t dim = any_dim(r, of->form), blocks = rng_range(r, 1, 4);
    size_t position = rng_range(r, 0, blocks * Q4_KV_BLOCK - 1);
    struct stored s = stored_blocks(r, of->form, blocks, dim);
    float *k = slot_place(&slots[SLOT_X], r, dim * sizeof *k, sizeof *k);
    float *v = slot_place(&slots[SLOT_Y], r, dim * sizeof *v, sizeof *v);
    rng_fill(r, k, dim, rng_next(r) & 1 ? 65519.0f : 70000.0f); // rounds to 65504; overflows
    rng_fill(r, v, dim, rng_next(r) & 1 ? 65519.0f : 70000.0f);
    bool fits = q4_ops_base.kv[of->form].store(s.expected, s.expected + s.bytes, k, v, dim, position);
    bool right = of->ops->kv[of->form].store(s.keys, s.values, k, v, dim, position) == fits;
    snprintf(what, size, "head size %zu, position %zu", dim, position);
    return stored_right(&s, what, size) && right;
}

// 16 positions at once, at random places of a block, as one by one.
static bool kv_store_16_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct subject *of = subject;
    size_t dim = rng_next(r) & 1 ? 16 * rng_range(r, 1, 8) : any_dim(r, of->form), blocks = rng_range(r, 1, 3);
    size_t stride = 2 * dim + rng_range(r, 0, 20);
    size_t position = rng_range(r, 0, blocks - 1) * Q4_KV_BLOCK + rng_range(r, 0, Q4_KV_BLOCK - 16);
    struct stored s = stored_blocks(r, of->form, blocks, dim);
    float *x = slot_place(&slots[SLOT_X], r, (15 * stride + 2 * dim) * sizeof *x, sizeof *x);
    rng_fill(r, x, 15 * stride + 2 * dim, rng_next(r) & 1 ? 65519.0f : 65600.0f); // the latter overflows now and then
    bool fits = true;
    for (size_t i = 0; i < 16; i++)
        fits &= q4_ops_base.kv[of->form].store(s.expected, s.expected + s.bytes, x + i * stride, x + i * stride + dim,
                                               dim, position + i);
    bool right = of->ops->kv[of->form].store_16(s.keys, s.values, x, x + dim, stride, dim, position) == fits;
    snprintf(what, size, "head size %zu, position %zu, stride %zu", dim, position, stride);
    return stored_right(&s, what, size) && right;
}

static void test_variant(const struct q4_ops *ops) {
    char name[80];
    snprintf(name, sizeof name, "%s/attention_merge", ops->name);
    run_cases(name, merge_case, ops);
    for (int form = 0; form < Q4_KV_FORMS; form++) {
        const struct subject of = {ops, (enum q4_kv_form)form};
        const char *form_name = q4_kv_traits[form].name;
        snprintf(name, sizeof name, "%s/attention of %s", ops->name, form_name);
        run_cases(name, attention_case, &of);
        snprintf(name, sizeof name, "%s/attention of %s without a number", ops->name, form_name);
        run_cases(name, no_number_case, &of);
        snprintf(name, sizeof name, "%s/kv_store of %s", ops->name, form_name);
        run_cases(name, kv_store_case, &of);
        snprintf(name, sizeof name, "%s/kv_store_16 of %s", ops->name, form_name);
        if (ops->kv[form].store_16)
            run_cases(name, kv_store_16_case, &of);
    }
}

void test_attention(void) { each_ops(test_variant); }
