// Template: GEMV of Q6_K, 16 rows x 1 token. Includer: vec_*.h first, then ISA.
#include "layouts.h"

#include "kernel.h"

// start[s] = -32 * sum of the 16 activations of sub-block s, once a task.
static void q6_k_starts(int32_t *start, const int8_t *q, size_t k) {
    for (size_t s = 0; s < k / 16; s++) {
        int32_t sum = 0;
        for (size_t i = 0; i < 16; i++)
            sum += q[16 * s + i];
        start[s] = -32 * sum;
    }
}

static inline vi q6_k_isum(const uint8_t *w, const int8_t *q, int32_t start) {
    vi a, b, c, d;
    q6_k_groups(w, &a, &b, &c, &d);
    vi sum = dot4_pair(vi_all(start), a, vi_all(group(q)), b, vi_all(group(q + 4)));
    return dot4_pair(sum, c, vi_all(group(q + 8)), d, vi_all(group(q + 12)));
}

void Q4_JOIN(q4_gemv_q6_k, ISA)(const struct q4_task *t) {
    size_t blocks = t->k / Q4_SUPER;
    const int8_t *q = t->acts->q + t->token0 * t->k;
    const float *d = t->acts->d + t->token0 * blocks;
    const panel_q6_k *p = (const panel_q6_k *)t->weights;
    int32_t *start = (int32_t *)t->scratch;
    q6_k_starts(start, q, t->k);
    for (size_t row = 0; row < t->n_rows; row += Q6_K_ROWS) {
        vf acc[Q6_K_ROWS / LANES];
        UNROLLED (v, Q6_K_ROWS / LANES)
            acc[v] = vf_zero();
        for (size_t b = 0; b < blocks; b++, p++) {
            vi sum[Q6_K_ROWS / LANES];
            UNROLLED (v, Q6_K_ROWS / LANES)
                sum[v] = vi_zero();
            for (size_t s = 0; s < 16; s++) {
                prefetch_ahead(p->q[s], sizeof p->q[s]);
                UNROLLED (v, Q6_K_ROWS / LANES) {
                    vi isum = q6_k_isum(p->q[s][0] + v * LANES * 4, q + b * Q4_SUPER + s * 16, start[b * 16 + s]);
                    sum[v] = vi_add(sum[v], vi_mul(isum, vi_load_bytes(p->scales[s] + v * LANES)));
                }
            }
            prefetch_ahead(p, offsetof(panel_q6_k, q));
            UNROLLED (v, Q6_K_ROWS / LANES) {
                vf scale = vf_mul(vf_load_halves(p->d + v * LANES), vf_all(d[b]));
                acc[v] = vf_fma(vf_from(sum[v]), scale, acc[v]);
            }
        }
        store_rows(t->y + row, t->n_rows - row, acc, Q6_K_ROWS / LANES);
    }
}

size_t Q4_JOIN(Q4_JOIN(q4_gemv_q6_k, ISA), scratch)(size_t k) { return k / 16 * sizeof(int32_t); }
