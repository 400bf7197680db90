// Attention (ops/attention.c has the arithmetic), included once with ISA and Q8_0 = 1 where keys and values are int8
// with scales, then with DOTPROD, else 0, then with FHM = 1 (FMLAL) or 0 (FCVTL and FMLA). All give the arithmetic's
// bits: queries and softmax weights are fp16 values, so a product with a key or value is exact in fp32, and so is one
// with a scale.
//
// Queries are taken in groups of consecutive rows of (token, head), each of which sees as many positions as the one
// before or more, and every key and value is loaded once for a group. Scores and the sum of values are the same small
// product: out[row][lane] = sum over j, in order, of a[row][j] * b[j][lane]; of the query with keys (j: dimension,
// lanes: positions), then of the weights with values (j: position, lanes: dimensions). Scores of int8 keys are sums of
// products of bytes instead.
#include "../ops/attention_block.h"
#include "vec_math.h"
#if Q8_0
#include "../ops/kv_q8_0.h"

q4_quantizer q4_quantize_q8_neon;
#endif

#define ROWS 4
#define SCALES (Q4_MAX_HEAD_DIM / Q4_BLOCK) // of a row
#define STRIDE (Q4_MAX_HEAD_DIM + 16)       // of rows: not a power of two, which would share few sets of L1
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

typedef struct {
    size_t n_rows, dim;
    q4_attn_view view[ROWS];
#if Q8_0
    int8_t q[ROWS][STRIDE];
    float q_scales[ROWS][SCALES];
#else
    uint16_t q[ROWS][STRIDE]; // fp16
#endif
    uint16_t weights[ROWS][Q4_KV_BLOCK]; // fp16
    float scores[ROWS][Q4_KV_BLOCK];
    float acc[ROWS][STRIDE], total[ROWS][STRIDE];
    q4_attn_state state[ROWS];
} group;

static ALWAYS_INLINE float16x8_t load_halves(const uint16_t *p) { return vreinterpretq_f16_u16(vld1q_u16(p)); }

static ALWAYS_INLINE float32x4_t load_4_halves(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

#if Q8_0
#define ATTENTION Q4_JOIN(q4_attention_q8_0, ISA)

#include "attention_int8_keys.h"

#define PRODUCT value_product
#define FMLAL 0
#define INT8 1
#include "attention_product.h"

static inline const int8_t *block_at(const void *from, size_t p, size_t dim) {
    return (const int8_t *)from + p / Q4_KV_BLOCK * q4_kv_block_bytes(Q4_KV_Q8_0, dim);
}

// Scores of positions `skip` to before `end` of the block at p, for n rows.
static inline void block_scores(group *g, size_t row, size_t n, size_t p, size_t skip, size_t end, const void *keys) {
    const int8_t *block = block_at(keys, p, g->dim);
    const uint16_t *scales = q4_kv_scales(block, g->dim);
    for (size_t b = 0; b < g->dim / Q4_BLOCK; b++) {
        const key_block from = {g->q[row] + b * Q4_BLOCK, g->q_scales[row] + b,
                                block + q4_kv_int8_key(b * Q4_BLOCK, skip), scales + b * Q4_KV_BLOCK + skip};
        key_product(g->scores[row] + skip, from, end - skip, n, b == 0);
    }
}

// Values of n positions from `first` on of the block at p, weighed: the sums of n_rows rows.
static inline void block_values(group *g, size_t row, size_t n_rows, size_t p, size_t first, size_t n,
                                const void *values) {
    const int8_t *block = block_at(values, p, g->dim);
    value_product(g->acc[row], STRIDE, g->weights[row] + first, Q4_KV_BLOCK, block + first * g->dim, g->dim,
                  q4_kv_scales(block, g->dim) + first, n, g->dim, n_rows);
}
#else
#define ATTENTION Q4_JOIN(q4_attention, ISA)

#define PRODUCT product
#define FMLAL FHM
#define INT8 0
#include "attention_product.h"

static inline void block_scores(group *g, size_t row, size_t n, size_t p, size_t skip, size_t end, const void *keys) {
    const uint16_t *from = (const uint16_t *)keys + p * g->dim + skip;
    product(g->scores[row] + skip, Q4_KV_BLOCK, g->q[row], STRIDE, from, Q4_KV_BLOCK, g->dim, end - skip, n);
}

static inline void block_values(group *g, size_t row, size_t n_rows, size_t p, size_t first, size_t n,
                                const void *values) {
    const uint16_t *from = (const uint16_t *)values + (p + first) * g->dim;
    product(g->acc[row], STRIDE, g->weights[row] + first, Q4_KV_BLOCK, from, g->dim, n, g->dim, n_rows);
}
#endif

// q4_block_softmax, with weights as fp16, of the first n positions, a multiple of 16; those behind are not seen.
static q4_attn_state block_softmax(uint16_t weights[Q4_KV_BLOCK], float scores[Q4_KV_BLOCK], q4_attn_view seen,
                                   size_t n) {
    for (size_t t = 0; t < seen.first; t++)
        scores[t] = -INFINITY;
    for (size_t t = seen.end; t < n; t++)
        scores[t] = -INFINITY;
    float32x4_t largest = vld1q_f32(scores);
    for (size_t t = 4; t < n; t += 4)
        largest = vmaxq_f32(largest, vld1q_f32(scores + t));
    q4_attn_state state = {.max = vmaxvq_f32(largest)};
    float32x4_t max = vdupq_n_f32(state.max), sums[4] = {{0.0f}, {0.0f}, {0.0f}, {0.0f}};
    for (size_t t = 0; t < n; t += 16)
        UNROLL for (size_t i = 0; i < 4; i++) {
            float16x4_t w = vcvt_f16_f32(q4_vec_exp(vsubq_f32(vld1q_f32(scores + t + 4 * i), max)));
            vst1_u16(weights + t + 4 * i, vreinterpret_u16_f16(w));
            sums[i] = vaddq_f32(sums[i], vcvt_f32_f16(w)); // the first to 0, which is exact
        }
    float s[16];
    UNROLL for (size_t i = 0; i < 4; i++) vst1q_f32(s + 4 * i, sums[i]);
    state.sum = q4_fold16(s);
    return state;
}

static void cap_scores(float scores[Q4_KV_BLOCK], size_t n, float cap) { // those of unseen positions may be anything
    for (size_t t = 0; t < n; t += 4)
        vst1q_f32(scores + t, q4_vec_soft_cap(vld1q_f32(scores + t), cap));
}

// Rows row .. end - 1 see at least one position of the block that starts at p.
static void attend_block(group *g, size_t row, size_t end, size_t p, const q4_attn_args *args) {
    q4_attn_state states[ROWS];
    q4_attn_view seen[ROWS];
    size_t dim = g->dim;
    for (size_t r = row; r < end; r++)
        seen[r] = q4_attn_view_in_block(g->view[r], p);
    // a block's unseen positions are not computed, but for the rest of a vector and what the others of the group see:
    // of that a row has weights of 0, which leave its sums as they are
    size_t skip = seen[row].first / 8 * 8, n = seen[end - 1].end - seen[row].first;
    size_t lanes = q4_round_up(seen[end - 1].end, 16);
    block_scores(g, row, end - row, p, skip, q4_round_up(seen[end - 1].end, 8), args->keys);
    for (size_t r = row; r < end; r++) {
        if (args->logit_cap != 0.0f)
            cap_scores(g->scores[r], lanes, args->logit_cap);
        states[r] = block_softmax(g->weights[r], g->scores[r], seen[r], lanes);
    }
    block_values(g, row, end - row, p, seen[row].first, n, args->values);
    for (size_t r = row; r < end; r++) {
        if (p > q4_attn_first_block(g->view[r])) {
            q4_attn_merge(&g->state[r], g->total[r], states[r], g->acc[r], dim);
        } else {
            g->state[r] = states[r];
            memcpy(g->total[r], g->acc[r], dim * sizeof(float));
        }
    }
}

static void load_query(group *g, size_t r, const float *q, float scale) {
#if Q8_0
    int32_t sums[SCALES];
    q4_kv_int8_query(q4_quantize_q8_neon, g->q[r], g->q_scales[r], sums, q, scale, g->dim);
#else
    for (size_t d = 0; d < g->dim; d += 4)
        vst1_u16(g->q[r] + d, vreinterpret_u16_f16(vcvt_f16_f32(vmulq_n_f32(vld1q_f32(q + d), scale))));
#endif
}

static void attend_group(group *g, const q4_attn_args *args) {
    size_t row = 0, last = g->n_rows - 1;
    for (size_t p = q4_attn_first_block(g->view[0]); p < g->view[last].end; p += Q4_KV_BLOCK) {
        size_t end = g->n_rows;
        while (g->view[row].end <= p)
            row++;
        while (g->view[end - 1].first >= p + Q4_KV_BLOCK)
            end--;
        attend_block(g, row, end, p, args);
    }
}

void q4_attention_base(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args);

void ATTENTION(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args) {
    size_t dim = args->head_dim, n = args->n_tokens * args->n_heads;
    if (dim % 8) { // never of int8
        q4_attention_base(acc, states, q, args);
        return;
    }
    group g; // large: what is not used is not cleared
    g.dim = dim;
    for (size_t first = 0; first < n; first += ROWS) {
        g.n_rows = q4_min_size(ROWS, n - first);
        for (size_t r = 0; r < g.n_rows; r++) {
            size_t token = (first + r) / args->n_heads, head = (first + r) % args->n_heads;
            g.view[r] = q4_attn_view_of(args, token);
            load_query(&g, r, q + token * args->q_stride + head * dim, args->scale);
        }
        attend_group(&g, args);
        for (size_t r = 0; r < g.n_rows; r++) {
            size_t token = (first + r) / args->n_heads, head = (first + r) % args->n_heads;
            states[first + r] = g.state[r];
            memcpy(acc + token * args->acc_stride + head * dim, g.total[r], dim * sizeof(float));
        }
    }
}
