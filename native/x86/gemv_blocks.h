// Template: GEMV of the types with blocks of 32 columns, 32 rows x 1 token. Includer: vec_*.h first, then ISA.
#include "layouts.h"

#include "kernel.h"

// x[c]: 4 columns of the activations in every lane. v: which LANES of the panel's 32 rows.
static inline vi nibbles_isum(const uint8_t q[2][4][64], size_t v, const vi x[8], int32_t start) {
    const uint8_t *w = q[v * LANES / 16][0] + v * LANES % 16 * 4;
    vi mask = vi_all_bytes(15), sum = nibbles_start(start);
    UNROLLED (c, 4) {
        vi pair = vi_load(w + c * 64);
        sum = nibbles_dot(sum, vi_and(pair, mask), x[c]);
        sum = nibbles_dot(sum, vi_and(vi_right(pair, 4), mask), x[4 + c]);
    }
    return nibbles_sum(sum, start);
}

static inline vi fives_isum(const uint8_t q[2][5][64], size_t v, const vi x[8], int32_t start) {
    vi w[8], sum = vi_all(start);
    five_bit_groups(q[v * LANES / 16][0] + v * LANES % 16 * 4, w);
    UNROLLED (c, 4)
        sum = dot4_pair(sum, w[2 * c], x[2 * c], w[2 * c + 1], x[2 * c + 1]);
    return sum;
}

static inline vi table_isum(const uint8_t q[2][4][64], size_t v, const vi x[8], int32_t start) {
    const uint8_t *w = q[v * LANES / 16][0] + v * LANES % 16 * 4;
    vi mask = vi_all_bytes(15), table = iq4_table(), sum = bytes_start(start);
    UNROLLED (c, 4) {
        vi pair = vi_load(w + c * 64);
        sum = bytes_dot(sum, vi_look_up(table, vi_and(pair, mask)), x[c]);
        sum = bytes_dot(sum, vi_look_up(table, vi_and(vi_right(pair, 4), mask)), x[4 + c]);
    }
    return sum;
}

static inline vi bytes_isum(const uint8_t q[2][8][64], size_t v, const vi x[8], int32_t start) {
    const uint8_t *w = q[v * LANES / 16][0] + v * LANES % 16 * 4;
    vi sum = bytes_start(start);
    UNROLLED (c, 8)
        sum = bytes_dot(sum, vi_load(w + c * 64), x[c]);
    return sum;
}

static inline void broadcast(vi x[8], const int8_t *q) {
    UNROLLED (c, 8)
        x[c] = vi_all(group(q + 4 * c));
}

// Blocks of a panel in column order. ISUM gives lane sums; ADD_MIN adds m * sum after it.
#define GEMV(NAME, PANEL, ISUM, OFFSET, ADD_MIN)                                                                       \
    void NAME(const struct q4_task *t) {                                                                               \
        size_t blocks = t->k / Q4_BLOCK;                                                                               \
        const int8_t *q = t->acts->q + t->token0 * t->k;                                                               \
        const float *d = t->acts->d + t->token0 * blocks;                                                              \
        const int32_t *sum = t->acts->sum + t->token0 * blocks;                                                        \
        const PANEL *p = (const PANEL *)t->weights;                                                                    \
        for (size_t row = 0; row < t->n_rows; row += PANEL_ROWS) {                                                     \
            vf acc[PANEL_ROWS / LANES];                                                                                \
            UNROLLED (v, PANEL_ROWS / LANES)                                                                           \
                acc[v] = vf_zero();                                                                                    \
            for (size_t b = 0; b < blocks; b++, p++) {                                                                 \
                vi x[8];                                                                                               \
                prefetch_ahead(p, sizeof *p);                                                                          \
                broadcast(x, q + b * Q4_BLOCK);                                                                        \
                vf dx = vf_all(d[b]);                                                                                  \
                UNROLLED (v, PANEL_ROWS / LANES) {                                                                     \
                    vi isum = ISUM(p->q, v, x, -OFFSET * sum[b]);                                                      \
                    vf scale = vf_mul(vf_load_halves(p->d + v * LANES), dx);                                           \
                    acc[v] = vf_fma(vf_from(isum), scale, acc[v]);                                                     \
                    ADD_MIN                                                                                            \
                }                                                                                                      \
            }                                                                                                          \
            store_rows(t->y + row, t->n_rows - row, acc, PANEL_ROWS / LANES);                                          \
        }                                                                                                              \
    }

#define ADD_MINIMA acc[v] = vf_fma(vf_all((float)sum[b]), vf_mul(vf_load_halves(p->m + v * LANES), dx), acc[v]);

GEMV(Q4_JOIN(q4_gemv_q4_0, ISA), panel_q4_0, nibbles_isum, 8, )
GEMV(Q4_JOIN(q4_gemv_q4_1, ISA), panel_q4_1, nibbles_isum, 0, ADD_MINIMA)
GEMV(Q4_JOIN(q4_gemv_q5_0, ISA), panel_q5_0, fives_isum, 16, )
GEMV(Q4_JOIN(q4_gemv_q5_1, ISA), panel_q5_1, fives_isum, 0, ADD_MINIMA)
GEMV(Q4_JOIN(q4_gemv_iq4_nl, ISA), panel_iq4_nl, table_isum, 128, )
GEMV(Q4_JOIN(q4_gemv_q8_0, ISA), panel_q8_0, bytes_isum, 128, )
