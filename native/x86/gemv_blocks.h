// Template: GEMV of the types with blocks of 32 columns, 32 rows x up to 4 tokens at a time. Includer: vec_*.h first,
// then ISA.
#include "layouts.h"

#include "kernel.h"

// Products of LANES rows (v: which of the panel's 32) with n tokens. x[t][c]: 4 columns of token t in every lane.

static ALWAYS_INLINE void nibbles_isum(vi isum[], const uint8_t q[2][4][64], size_t v, vi x[][8], const int32_t start[],
                                       size_t n) {
    const uint8_t *w = q[v * LANES / 16][0] + v * LANES % 16 * 4;
    vi mask = vi_all_bytes(15);
    UNROLLED (t, n)
        isum[t] = nibbles_start(start[t]);
    UNROLLED (c, 4) {
        vi pair = vi_load(w + c * 64), low = vi_and(pair, mask), high = vi_and(vi_right(pair, 4), mask);
        UNROLLED (t, n)
            isum[t] = nibbles_dot(nibbles_dot(isum[t], low, x[t][c]), high, x[t][4 + c]);
    }
    UNROLLED (t, n)
        isum[t] = nibbles_sum(isum[t], start[t]);
}

#define FIVES_AT_ONCE AT_ONCE(4, 8)

static ALWAYS_INLINE void fives_isum(vi isum[], const uint8_t q[2][5][64], size_t v, vi x[][8], const int32_t start[],
                                     size_t n) {
    vi w[8];
    five_bit_groups(q[v * LANES / 16][0] + v * LANES % 16 * 4, w);
    UNROLLED (t, n) {
        isum[t] = vi_all(start[t]);
        UNROLLED (part, 8 / FIVES_AT_ONCE) {
            vi products = products_start(isum[t]);
            UNROLLED (i, FIVES_AT_ONCE) {
                size_t c = part * FIVES_AT_ONCE + i;
                products = nibbles_dot(products, w[c], x[t][c]);
            }
            isum[t] = products_sum(products, isum[t]);
        }
    }
}

static ALWAYS_INLINE void table_isum(vi isum[], const uint8_t q[2][4][64], size_t v, vi x[][8], const int32_t start[],
                                     size_t n) {
    const uint8_t *w = q[v * LANES / 16][0] + v * LANES % 16 * 4;
    vi mask = vi_all_bytes(15), table = iq4_table();
    UNROLLED (t, n)
        isum[t] = bytes_start(start[t]);
    UNROLLED (c, 4) {
        vi pair = vi_load(w + c * 64);
        vi low = vi_look_up(table, vi_and(pair, mask)), high = vi_look_up(table, vi_and(vi_right(pair, 4), mask));
        UNROLLED (t, n)
            isum[t] = bytes_dot(bytes_dot(isum[t], low, x[t][c]), high, x[t][4 + c]);
    }
}

static ALWAYS_INLINE void bytes_isum(vi isum[], const uint8_t q[2][8][64], size_t v, vi x[][8], const int32_t start[],
                                     size_t n) {
    const uint8_t *w = q[v * LANES / 16][0] + v * LANES % 16 * 4;
    UNROLLED (t, n)
        isum[t] = bytes_start(start[t]);
    UNROLLED (c, 8) {
        vi bytes = vi_load(w + c * 64);
        UNROLLED (t, n)
            isum[t] = bytes_dot(isum[t], bytes, x[t][c]);
    }
}

static ALWAYS_INLINE void broadcast(vi x[8], const int8_t *q) {
    UNROLLED (c, 8)
        x[c] = vi_all(group(q + 4 * c));
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
            vi x[GEMV_TOKENS][8], isum[GEMV_TOKENS];                                                                   \
            int32_t start[GEMV_TOKENS];                                                                                \
            prefetch_ahead(p, sizeof *p);                                                                              \
            UNROLLED (t, n) {                                                                                          \
                broadcast(x[t], q + t * task->k + b * Q4_BLOCK);                                                       \
                start[t] = -OFFSET * sum[t * blocks + b];                                                              \
            }                                                                                                          \
            UNROLLED (v, PANEL_ROWS / LANES) {                                                                         \
                ISUM(isum, p->q, v, x, start, n);                                                                      \
                vf scale = vf_load_halves(p->d + v * LANES);                                                           \
                UNROLLED (t, n) {                                                                                      \
                    vf dx = vf_all(d[t * blocks + b]);                                                                 \
                    acc[t][v] = vf_fma(vf_from(isum[t]), vf_mul(scale, dx), acc[t][v]);                                \
                    ADD_MIN                                                                                            \
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
