// Attention (ops/attention.c has the arithmetic), included once with FHM = 1 (FMLAL) or 0 (FCVTL and FMLA) and ISA.
// Both give the same bits: queries and softmax weights are fp16 values, so a product with a key or value is exact in
// fp32.
//
// Queries are taken in groups of consecutive rows of (token, head), each of which sees as many positions as the one
// before or more, and every key and value is loaded once for a group. Scores and the sum of values are the same small
// product: out[row][lane] = sum over j, in order, of a[row][j] * b[j][lane]; of the query with keys (j: dimension,
// lanes: positions), then of the weights with values (j: position, lanes: dimensions).
#include "../ops/attention_block.h"
#include "vec_math.h"

#define ROWS 4
#define STRIDE (Q4_MAX_HEAD_DIM + 16) // of rows: not a power of two, which would share few sets of L1
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

typedef struct {
    size_t n_rows, dim;
    q4_attn_view view[ROWS];
    uint16_t q[ROWS][STRIDE];            // fp16
    uint16_t weights[ROWS][Q4_KV_BLOCK]; // fp16
    float scores[ROWS][Q4_KV_BLOCK];
    float acc[ROWS][STRIDE], total[ROWS][STRIDE];
    q4_attn_state state[ROWS];
} group;

static ALWAYS_INLINE float16x8_t load_halves(const uint16_t *p) { return vreinterpretq_f16_u16(vld1q_u16(p)); }

#if FHM
typedef float16x8_t factors; // of one row: 8 values of j
#define FACTORS 8
static ALWAYS_INLINE factors load_factors(const uint16_t *a) { return load_halves(a); }
static ALWAYS_INLINE factors load_factor(const uint16_t *a) { return vreinterpretq_f16_u16(vld1q_dup_u16(a)); }
#define ADD_LANES(R, V, B, LANE)                                                                                       \
    acc[R][V][0] = vfmlalq_laneq_low_f16(acc[R][V][0], B, x[R], LANE);                                                 \
    acc[R][V][1] = vfmlalq_laneq_high_f16(acc[R][V][1], B, x[R], LANE)
#else
typedef float32x4_t factors;
#define FACTORS 4
static ALWAYS_INLINE factors load_factors(const uint16_t *a) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(a))); }
static ALWAYS_INLINE factors load_factor(const uint16_t *a) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_dup_u16(a)));
}
#define ADD_LANES(R, V, B, LANE)                                                                                       \
    acc[R][V][0] = vfmaq_laneq_f32(acc[R][V][0], low[V], x[R], LANE);                                                  \
    acc[R][V][1] = vfmaq_laneq_f32(acc[R][V][1], high[V], x[R], LANE)
#endif

// One j for all rows and lanes
#if FHM
#define LOAD_LANES(B) UNROLL for (size_t v = 0; v < vectors; v++) lanes[v] = load_halves((B) + v * 8)
#define DECLARE_LANES float16x8_t lanes[8]
#else
#define LOAD_LANES(B)                                                                                                  \
    UNROLL for (size_t v = 0; v < vectors; v++) {                                                                      \
        float16x8_t h = load_halves((B) + v * 8);                                                                      \
        low[v] = vcvt_f32_f16(vget_low_f16(h));                                                                        \
        high[v] = vcvt_high_f32_f16(h);                                                                                \
    }
#define DECLARE_LANES float32x4_t low[8], high[8]
#endif
#define STEP(B, LANE)                                                                                                  \
    do {                                                                                                               \
        DECLARE_LANES;                                                                                                 \
        LOAD_LANES(B);                                                                                                 \
        UNROLL for (size_t r = 0; r < n_rows; r++) UNROLL for (size_t v = 0; v < vectors; v++) {                       \
            ADD_LANES(r, v, lanes[v], LANE);                                                                           \
        }                                                                                                              \
    } while (0)

// a: rows a_stride halves apart, out: rows out_stride floats apart; b: b_stride halves from one j to the next.
static ALWAYS_INLINE void product(float *out, size_t out_stride, const uint16_t *a, size_t a_stride, const uint16_t *b,
                                  size_t b_stride, size_t n_j, size_t n_rows, size_t vectors, bool resume) {
    float32x4_t acc[ROWS][8][2];
    UNROLL for (size_t r = 0; r < n_rows; r++) UNROLL for (size_t v = 0; v < 2 * vectors; v++) acc[r][v / 2][v % 2] =
        resume ? vld1q_f32(out + r * out_stride + v * 4) : vdupq_n_f32(0.0f);
    factors x[ROWS];
    size_t j = 0;
    for (; j + FACTORS <= n_j; j += FACTORS, b += FACTORS * b_stride) {
        UNROLL for (size_t r = 0; r < n_rows; r++) x[r] = load_factors(a + r * a_stride + j);
        STEP(b, 0);
        STEP(b + b_stride, 1);
        STEP(b + 2 * b_stride, 2);
        STEP(b + 3 * b_stride, 3);
#if FHM
        STEP(b + 4 * b_stride, 4);
        STEP(b + 5 * b_stride, 5);
        STEP(b + 6 * b_stride, 6);
        STEP(b + 7 * b_stride, 7);
#endif
    }
    for (; j < n_j; j++, b += b_stride) {
        UNROLL for (size_t r = 0; r < n_rows; r++) x[r] = load_factor(a + r * a_stride + j);
        STEP(b, 0);
    }
    UNROLL for (size_t r = 0; r < n_rows; r++) UNROLL for (size_t v = 0; v < 2 * vectors; v++)
        vst1q_f32(out + r * out_stride + v * 4, acc[r][v / 2][v % 2]);
}

// Vectors of 8 lanes at once, by rows: at most 16 accumulators of 4 lanes stay in registers.
static void product_rows(float *out, size_t out_stride, const uint16_t *a, size_t a_stride, const uint16_t *b,
                         size_t b_stride, size_t n_j, size_t n_lanes, size_t n_rows, bool resume) {
    size_t i = 0;
#define LANES_BY(N, VECTORS)                                                                                           \
    for (; i + 8 * (VECTORS) <= n_lanes; i += 8 * (VECTORS)) {                                                         \
        if (resume)                                                                                                    \
            product(out + i, out_stride, a, a_stride, b + i, b_stride, n_j, N, VECTORS, true);                         \
        else                                                                                                           \
            product(out + i, out_stride, a, a_stride, b + i, b_stride, n_j, N, VECTORS, false);                        \
    }
#if FHM
#define WIDE_1 8
#define WIDE_2 4
#else
#define WIDE_1 4
#define WIDE_2 4
#endif
    switch (n_rows) {
    case 1:
        LANES_BY(1, WIDE_1)
        LANES_BY(1, 1)
        break;
    case 2:
        LANES_BY(2, WIDE_2)
        LANES_BY(2, 1)
        break;
    case 3:
        LANES_BY(3, 2)
        LANES_BY(3, 1)
        break;
    default:
        LANES_BY(4, 2)
        LANES_BY(4, 1)
    }
}

// q4_block_softmax, with weights as fp16.
static q4_attn_state block_softmax(uint16_t weights[Q4_KV_BLOCK], float scores[Q4_KV_BLOCK], q4_attn_view seen) {
    for (size_t t = 0; t < seen.first; t++)
        scores[t] = scores[seen.first];
    for (size_t t = seen.end; t < Q4_KV_BLOCK; t++)
        scores[t] = scores[seen.first];
    float32x4_t largest = vld1q_f32(scores);
    for (size_t t = 4; t < Q4_KV_BLOCK; t += 4)
        largest = vmaxq_f32(largest, vld1q_f32(scores + t));
    q4_attn_state state = {.max = vmaxvq_f32(largest)};
    float32x4_t max = vdupq_n_f32(state.max);
    for (size_t t = 0; t < Q4_KV_BLOCK; t += 4)
        vst1_u16(weights + t, vreinterpret_u16_f16(vcvt_f16_f32(q4_vec_exp(vsubq_f32(vld1q_f32(scores + t), max)))));
    for (size_t t = 0; t < seen.first; t++)
        weights[t] = 0;
    for (size_t t = seen.end; t < Q4_KV_BLOCK; t++)
        weights[t] = 0;
    float s[16];
    for (size_t j = 0; j < 16; j += 4) {
        float32x4_t w[4];
        for (size_t i = 0; i < 4; i++)
            w[i] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(weights + 16 * i + j)));
        vst1q_f32(s + j, vaddq_f32(vaddq_f32(vaddq_f32(w[0], w[1]), w[2]), w[3]));
    }
    state.sum = q4_fold16(s);
    return state;
}

static void cap_scores(float scores[Q4_KV_BLOCK], float cap) { // those of unseen positions may be anything
    for (size_t t = 0; t < Q4_KV_BLOCK; t += 4)
        vst1q_f32(scores + t, q4_vec_soft_cap(vld1q_f32(scores + t), cap));
}

// Rows row .. end - 1 see at least one position of the block that starts at p.
static void attend_block(group *g, size_t row, size_t end, size_t p, const q4_attn_args *args) {
    q4_attn_state states[ROWS];
    q4_attn_view seen[ROWS];
    size_t dim = g->dim;
    for (size_t r = row; r < end; r++)
        seen[r] = q4_attn_view_in_block(g->view[r], p);
    // a block's unseen positions are not computed, but for the rest of a vector; of values neither, where a window
    // starts: what rows see less than the others has weights of 0, which leave their sums as they are
    size_t skip = seen[row].first / 8 * 8, n = seen[row].end - seen[row].first;
    const uint16_t *keys = args->keys + p * dim + skip, *values = args->values + p * dim;
    product_rows(g->scores[row] + skip, Q4_KV_BLOCK, g->q[row], STRIDE, keys, Q4_KV_BLOCK, dim,
                 q4_round_up(seen[end - 1].end, 8) - skip, end - row, false);
    for (size_t r = row; r < end; r++) {
        if (args->logit_cap != 0.0f)
            cap_scores(g->scores[r], args->logit_cap);
        states[r] = block_softmax(g->weights[r], g->scores[r], seen[r]);
    }
    product_rows(g->acc[row], STRIDE, g->weights[row] + seen[row].first, Q4_KV_BLOCK, values + seen[row].first * dim,
                 dim, n, dim, end - row, false);
    for (size_t r = row; r < end; r++) {
        size_t done = seen[row].end;
        if (seen[r].end > done)
            product_rows(g->acc[r], STRIDE, g->weights[r] + done, Q4_KV_BLOCK, values + done * dim, dim,
                         seen[r].end - done, dim, 1, true);
        if (p > q4_attn_first_block(g->view[r])) {
            q4_attn_merge(&g->state[r], g->total[r], states[r], g->acc[r], dim);
        } else {
            g->state[r] = states[r];
            memcpy(g->total[r], g->acc[r], dim * sizeof(float));
        }
    }
}

static void load_query(group *g, size_t r, const float *q, float scale) {
    for (size_t d = 0; d < g->dim; d += 4)
        vst1_u16(g->q[r] + d, vreinterpret_u16_f16(vcvt_f16_f32(vmulq_n_f32(vld1q_f32(q + d), scale))));
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

void Q4_JOIN(q4_attention, ISA)(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args) {
    size_t dim = args->head_dim, n = args->n_tokens * args->n_heads;
    if (dim % 8) {
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
