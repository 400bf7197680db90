// Template: GEMV of the types with blocks of 32 columns, 32 rows x up to 4 tokens at a time. Includer: vec_*.h first,
// then ISA.
#include "layouts.h"

#include "kernel.h"

// Sums of products of GEMV_VECTORS x LANES rows (q: the panel's block, from vector v of it on) with n tokens. x: the
// first token's block of columns; k bytes from one to the next. All rows meet a group of columns while it is in a
// register, so that eight sums beside as many accumulators need not wait in memory.

static ALWAYS_INLINE const uint8_t *rows_at(const uint8_t q[][64], size_t planes, size_t v) {
    return q[v * LANES / 16 * planes] + v * LANES % 16 * 4;
}

#define START_SUMS(START)                                                                                              \
    UNROLLED (t, n)                                                                                                    \
        UNROLLED (r, GEMV_VECTORS)                                                                                     \
            isum[t][r] = START(start[t]);

// Adds to SUMS. W: 4 columns of each row; those of the tokens from byte FIRST of their blocks on.
#define ADD_GROUP(SUMS, DOT, W, FIRST)                                                                                 \
    UNROLLED (t, n) {                                                                                                  \
        vi group_of_token = vi_keep(vi_all(group(x + t * k + (FIRST))));                                               \
        UNROLLED (r, GEMV_VECTORS)                                                                                     \
            SUMS[t][r] = DOT(SUMS[t][r], W[r], group_of_token);                                                        \
    }

static ALWAYS_INLINE void nibbles_isum(vi isum[][GEMV_VECTORS], const uint8_t q[2][4][64], size_t v, const int8_t *x,
                                       size_t k, const int32_t start[], size_t n) {
    vi mask = vi_all_bytes(15);
    START_SUMS(nibbles_start)
    UNROLLED (c, 4) {
        vi low[GEMV_VECTORS], high[GEMV_VECTORS];
        UNROLLED (r, GEMV_VECTORS) {
            vi pair = vi_load(rows_at(q[0], 4, v + r) + c * 64);
            low[r] = vi_and(pair, mask);
            high[r] = vi_and(vi_right(pair, 4), mask);
        }
        ADD_GROUP(isum, nibbles_dot, low, 4 * c)
        ADD_GROUP(isum, nibbles_dot, high, 16 + 4 * c)
    }
    UNROLLED (t, n)
        UNROLLED (r, GEMV_VECTORS)
            isum[t][r] = nibbles_sum(isum[t][r], start[t]);
}

#define FIVES_AT_ONCE AT_ONCE(4, 8)

static ALWAYS_INLINE void fives_isum(vi isum[][GEMV_VECTORS], const uint8_t q[2][5][64], size_t v, const int8_t *x,
                                     size_t k, const int32_t start[], size_t n) {
    vi w[8][GEMV_VECTORS];
    UNROLLED (r, GEMV_VECTORS) {
        vi of_row[8];
        five_bit_groups(rows_at(q[0], 5, v + r), of_row);
        UNROLLED (c, 8)
            w[c][r] = of_row[c];
    }
    START_SUMS(vi_all)
    UNROLLED (part, 8 / FIVES_AT_ONCE) {
        vi products[GEMV_TOKENS][GEMV_VECTORS];
        UNROLLED (t, n)
            UNROLLED (r, GEMV_VECTORS)
                products[t][r] = products_start(isum[t][r]);
        UNROLLED (i, FIVES_AT_ONCE) {
            size_t c = part * FIVES_AT_ONCE + i;
            ADD_GROUP(products, nibbles_dot, w[c], 4 * c)
        }
        UNROLLED (t, n)
            UNROLLED (r, GEMV_VECTORS)
                isum[t][r] = products_sum(products[t][r], isum[t][r]);
    }
}

static ALWAYS_INLINE void table_isum(vi isum[][GEMV_VECTORS], const uint8_t q[2][4][64], size_t v, const int8_t *x,
                                     size_t k, const int32_t start[], size_t n) {
    vi mask = vi_all_bytes(15), table = iq4_table();
    START_SUMS(bytes_start)
    UNROLLED (c, 4) {
        vi low[GEMV_VECTORS], high[GEMV_VECTORS];
        UNROLLED (r, GEMV_VECTORS) {
            vi pair = vi_load(rows_at(q[0], 4, v + r) + c * 64);
            low[r] = vi_look_up(table, vi_and(pair, mask));
            high[r] = vi_look_up(table, vi_and(vi_right(pair, 4), mask));
        }
        ADD_GROUP(isum, bytes_dot, low, 4 * c)
        ADD_GROUP(isum, bytes_dot, high, 16 + 4 * c)
    }
}

static ALWAYS_INLINE void bytes_isum(vi isum[][GEMV_VECTORS], const uint8_t q[2][8][64], size_t v, const int8_t *x,
                                     size_t k, const int32_t start[], size_t n) {
    START_SUMS(bytes_start)
    UNROLLED (c, 8) {
        vi w[GEMV_VECTORS];
        UNROLLED (r, GEMV_VECTORS)
            w[r] = vi_load(rows_at(q[0], 8, v + r) + c * 64);
        ADD_GROUP(isum, bytes_dot, w, 4 * c)
    }
}

// Blocks of a panel in column order. ISUM gives lane sums; ADD_MIN adds m * sum after it.
#define GEMV(NAME, PANEL, ISUM, OFFSET, ADD_MIN)                                                                       \
    static ALWAYS_INLINE void Q4_JOIN(NAME, tokens)(const PANEL *p, const struct q4_task *task, size_t row,            \
                                                    size_t token, size_t n) {                                          \
        size_t blocks = task->k / Q4_BLOCK, at = task->token0 + token;                                                 \
        const int8_t *q = task->acts->q + at * task->k;                                                                \
        const float *d = task->acts->d + at * blocks;                                                                  \
        const int32_t *sum = task->acts->sum + at * blocks;                                                            \
        vf acc[GEMV_TOKENS][PANEL_ROWS / LANES];                                                                       \
        UNROLLED (t, n)                                                                                                \
            UNROLLED (v, PANEL_ROWS / LANES)                                                                           \
                acc[t][v] = vf_zero();                                                                                 \
        for (size_t b = 0; b < blocks; b++, p++) {                                                                     \
            int32_t start[GEMV_TOKENS];                                                                                \
            prefetch_ahead(p, sizeof *p);                                                                              \
            UNROLLED (t, n)                                                                                            \
                start[t] = -OFFSET * sum[t * blocks + b];                                                              \
            UNROLLED (part, PANEL_ROWS / LANES / GEMV_VECTORS) {                                                       \
                vi isum[GEMV_TOKENS][GEMV_VECTORS];                                                                    \
                ISUM(isum, p->q, part * GEMV_VECTORS, q + b * Q4_BLOCK, task->k, start, n);                            \
                UNROLLED (r, GEMV_VECTORS) {                                                                           \
                    size_t v = part * GEMV_VECTORS + r;                                                                \
                    vf scale = vf_load_halves(p->d + v * LANES);                                                       \
                    UNROLLED (t, n) {                                                                                  \
                        vf dx = vf_all(d[t * blocks + b]);                                                             \
                        acc[t][v] = vf_fma(vf_from(isum[t][r]), vf_mul(scale, dx), acc[t][v]);                         \
                        ADD_MIN                                                                                        \
                    }                                                                                                  \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
        UNROLLED (t, n)                                                                                                \
            store_rows(task->y + (token + t) * task->y_stride + row, task->n_rows - row, acc[t], PANEL_ROWS / LANES);  \
    }                                                                                                                  \
    void NAME(const struct q4_task *task) {                                                                            \
        const PANEL *p = (const PANEL *)task->weights;                                                                 \
        for (size_t row = 0; row < task->n_rows; row += PANEL_ROWS, p += task->k / Q4_BLOCK)                           \
            EACH_FEW_TOKENS(Q4_JOIN(NAME, tokens), p, task, row);                                                      \
    }

#define ADD_MINIMA                                                                                                     \
    acc[t][v] = vf_fma(vf_all((float)sum[t * blocks + b]), vf_mul(vf_load_halves(p->m + v * LANES), dx), acc[t][v]);

GEMV(Q4_JOIN(q4_gemv_q4_0, ISA), panel_q4_0, nibbles_isum, 8, )
GEMV(Q4_JOIN(q4_gemv_q4_1, ISA), panel_q4_1, nibbles_isum, 0, ADD_MINIMA)
GEMV(Q4_JOIN(q4_gemv_q5_0, ISA), panel_q5_0, fives_isum, 16, )
GEMV(Q4_JOIN(q4_gemv_q5_1, ISA), panel_q5_1, fives_isum, 0, ADD_MINIMA)
GEMV(Q4_JOIN(q4_gemv_iq4_nl, ISA), panel_iq4_nl, table_isum, 128, )
GEMV(Q4_JOIN(q4_gemv_q8_0, ISA), panel_q8_0, bytes_isum, 128, )
