// Template: attention (ops/attention.c has the arithmetic). Includer: vec_*.h first, then ISA.
//
// Queries are taken in groups: consecutive rows of (token, head), each of which sees as many positions as the one
// before or more. Every key and value is loaded and converted to fp32 once for a group. Scores and the sum of values
// are the same small product, out[row][lane] = sum over j, in order, of a[row][j] * b[j][lane]: of the query with keys
// (j: dimension, lanes: positions), then of the weights with values (j: position, lanes: dimensions).
#include "../ops/attention_block.h"
#include "kernel.h"
#include "vec_math.h"

#define ROWS 6                        // of a group
#define WIDE (LANES == 16 ? 4 : 2)    // vectors of lanes at once: ROWS * WIDE accumulators
#define STRIDE (Q4_MAX_HEAD_DIM + 16) // of rows in floats: not a power of two, which would share few sets of L1
#define POSITION_VECTORS (Q4_KV_BLOCK / LANES)
#define FALLBACK Q4_JOIN(q4_attention, ISA) // the compiled C, for head sizes that are not whole vectors

void FALLBACK(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args);

struct group {
    size_t n_rows, dim;
    size_t ahead;         // elements from a block's keys or values to the next block's; 0 where there is none
    size_t visible[ROWS]; // positions
    float q[ROWS][STRIDE];
    float scores[ROWS][Q4_KV_BLOCK]; // then weights
    float acc[ROWS][STRIDE], total[ROWS][STRIDE];
    q4_attn_state state[ROWS];
};

// a, out: rows that are a_stride and out_stride floats apart; b: b_stride elements from one j to the next.
static ALWAYS_INLINE void product(float *out, size_t out_stride, const float *a, size_t a_stride, const uint16_t *b,
                                  size_t b_stride, size_t n_j, size_t n_rows, size_t vectors, bool resume,
                                  size_t ahead) {
    vf acc[ROWS][WIDE];
    UNROLLED (r, n_rows)
        UNROLLED (v, vectors)
            acc[r][v] = resume ? vf_load(out + r * out_stride + v * LANES) : vf_zero();
    for (size_t j = 0; j < n_j; j++, b += b_stride, a++) {
        vf lanes[WIDE];
        if (ahead)
            UNROLLED (v, vectors)
                _mm_prefetch((const char *)(b + ahead + v * LANES), _MM_HINT_T0);
        UNROLLED (v, vectors)
            lanes[v] = vf_load_halves(b + v * LANES);
        UNROLLED (r, n_rows) {
            vf x = vf_all(a[r * a_stride]);
            UNROLLED (v, vectors)
                acc[r][v] = vf_fma(x, lanes[v], acc[r][v]);
        }
    }
    UNROLLED (r, n_rows)
        UNROLLED (v, vectors)
            vf_store(out + r * out_stride + v * LANES, acc[r][v]);
}

#define EACH_ROW_COUNT(n, CALL)                                                                                        \
    switch (n) {                                                                                                       \
    case 1:                                                                                                            \
        CALL(1);                                                                                                       \
        break;                                                                                                         \
    case 2:                                                                                                            \
        CALL(2);                                                                                                       \
        break;                                                                                                         \
    case 3:                                                                                                            \
        CALL(3);                                                                                                       \
        break;                                                                                                         \
    case 4:                                                                                                            \
        CALL(4);                                                                                                       \
        break;                                                                                                         \
    case 5:                                                                                                            \
        CALL(5);                                                                                                       \
        break;                                                                                                         \
    case 6:                                                                                                            \
        CALL(6);                                                                                                       \
        break;                                                                                                         \
    }

static void block_scores(struct group *g, size_t row, size_t n_rows, const uint16_t *k) {
#define SCORES(N)                                                                                                      \
    product(g->scores[row] + t, Q4_KV_BLOCK, g->q[row], STRIDE, k + t, Q4_KV_BLOCK, g->dim, N, WIDE, false, g->ahead)
    for (size_t t = 0; t < Q4_KV_BLOCK; t += WIDE * LANES)
        EACH_ROW_COUNT(n_rows, SCORES)
}

// Positions from .. to - 1 for n_rows rows; a from of more than 0 continues the sums.
static void block_values(struct group *g, size_t row, size_t n_rows, const uint16_t *v, size_t from, size_t to) {
    size_t d = 0;
    const uint16_t *first = v + from * g->dim;
#define VALUES(N)                                                                                                      \
    product(g->acc[row] + d, STRIDE, g->scores[row] + from, Q4_KV_BLOCK, first + d, g->dim, to - from, N, vectors,     \
            from > 0, g->ahead)
    for (const size_t vectors = WIDE; d + WIDE * LANES <= g->dim; d += WIDE * LANES)
        EACH_ROW_COUNT(n_rows, VALUES)
    for (const size_t vectors = 1; d < g->dim; d += LANES)
        EACH_ROW_COUNT(n_rows, VALUES)
}

// q4_block_softmax.
static q4_attn_state block_softmax(float scores[Q4_KV_BLOCK], size_t n) {
    for (size_t t = n; t < Q4_KV_BLOCK; t++)
        scores[t] = scores[0];
    vf x[POSITION_VECTORS], largest = vf_load(scores);
    UNROLLED (v, POSITION_VECTORS)
        largest = vf_max(largest, x[v] = vf_load(scores + v * LANES));
    q4_attn_state state = {.max = vf_largest(largest)};
    UNROLLED (v, POSITION_VECTORS)
        vf_store(scores + v * LANES, vf_round_half(vf_exp(vf_sub(x[v], vf_all(state.max)))));
    for (size_t t = n; t < Q4_KV_BLOCK; t++)
        scores[t] = 0.0f;
    float s[16];
    for (size_t j = 0; j < 16; j += LANES) {
        vf sum = vf_add(vf_load(scores + j), vf_load(scores + 16 + j));
        vf_store(s + j, vf_add(vf_add(sum, vf_load(scores + 32 + j)), vf_load(scores + 48 + j)));
    }
    state.sum = q4_fold16(s);
    return state;
}

// Rows row .. see at least one position of the block that starts at p.
static void attend_block(struct group *g, size_t row, size_t p, const q4_attn_args *args) {
    q4_attn_state states[ROWS];
    size_t n[ROWS];
    const uint16_t *values = args->values + p * g->dim;
    block_scores(g, row, g->n_rows - row, args->keys + p * g->dim);
    for (size_t r = row; r < g->n_rows; r++) {
        n[r] = q4_min_size(Q4_KV_BLOCK, g->visible[r] - p);
        states[r] = block_softmax(g->scores[r], n[r]);
    }
    block_values(g, row, g->n_rows - row, values, 0, n[row]);
    for (size_t r = row; r < g->n_rows; r++) {
        if (n[r] > n[row])
            block_values(g, r, 1, values, n[row], n[r]);
        if (p) {
            q4_attn_merge(&g->state[r], g->total[r], states[r], g->acc[r], g->dim);
        } else {
            g->state[r] = states[r];
            memcpy(g->total[r], g->acc[r], g->dim * sizeof(float));
        }
    }
}

static void attend_group(struct group *g, const q4_attn_args *args) {
    size_t row = 0, last = g->visible[g->n_rows - 1];
    // the first values are on their way while the first keys are multiplied
    for (size_t i = 0; i < q4_min_size(last, Q4_KV_BLOCK) * g->dim; i += 64 / sizeof *args->values)
        _mm_prefetch((const char *)(args->values + i), _MM_HINT_T0);
    for (size_t p = 0; p < last; p += Q4_KV_BLOCK) {
        while (g->visible[row] <= p)
            row++;
        // behind a whole span lies the next one
        bool more = p + Q4_KV_BLOCK < last || last == Q4_KV_SPAN;
        g->ahead = more ? Q4_KV_BLOCK * g->dim : 0;
        attend_block(g, row, p, args);
    }
}

void Q4_JOIN(q4_attention_grouped, ISA)(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args) {
    size_t dim = args->head_dim, n = args->n_tokens * args->n_heads;
    if (dim % LANES) {
        FALLBACK(acc, states, q, args);
        return;
    }
    struct group g; // large: what is not used is not cleared
    g.dim = dim;
    for (size_t first = 0; first < n; first += ROWS) {
        g.n_rows = q4_min_size(ROWS, n - first);
        for (size_t r = 0; r < g.n_rows; r++) {
            size_t token = (first + r) / args->n_heads, head = (first + r) % args->n_heads;
            const float *from = q + token * args->q_stride + head * dim;
            g.visible[r] = q4_min_size(args->n_positions + token, Q4_KV_SPAN);
            for (size_t d = 0; d < dim; d += LANES)
                vf_store(g.q[r] + d, vf_round_half(vf_mul(vf_load(from + d), vf_all(args->scale))));
        }
        attend_group(&g, args);
        for (size_t r = 0; r < g.n_rows; r++) {
            size_t token = (first + r) / args->n_heads, head = (first + r) % args->n_heads;
            states[first + r] = g.state[r];
            memcpy(acc + token * args->acc_stride + head * dim, g.total[r], dim * sizeof(float));
        }
    }
}
