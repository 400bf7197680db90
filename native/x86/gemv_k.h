// Template: GEMV of the types with super-blocks, 16 rows x up to 4 tokens at a time. Includer: vec_*.h and unpack_k.h,
// then ISA and
//   TYPE     its suffix of names
//   SUB      columns of a sub-block
//   DOT, FIT adds products of 4 columns a row; of how many groups they fit 16-bit pairs (vec_avx2.h)
//   OFFSET   by which unsigned bytes exceed weights
//   MINIMA   where defined, sub-blocks have minima; then OFFSET is 0
#define GEMV_K(function) Q4_JOIN(function, TYPE)
#define PANEL GEMV_K(panel)
#define STEPS AT_ONCE(FIT, SUB / 4)
#ifdef MINIMA
#define PAIRS 1
#else
#define PAIRS (OFFSET && OFFSETS_APART)
#endif
#define STARTS (PAIRS ? 8 : Q4_SUPER / SUB) // of a super-block

// scratch, once a task: where the sums of products of each sub-block start, or, if PAIRS, the sums of activations of
// every two of 16 columns as 16-bit pairs: for minima, or for what bytes exceed weights by.
static void Q4_JOIN(GEMV_K(starts), ISA)(int32_t *start, const int8_t *q, size_t k) {
    int sums[2] = {0, 0};
    for (size_t s = 0; s < k / 16; s++) {
        int sum = 0;
        for (size_t i = 0; i < 16; i++)
            sum += q[16 * s + i];
        sums[s % 2] = sum;
        if (SUB == 16 && !PAIRS)
            start[s] = -OFFSET * sum;
        else if (s % 2)
            start[s / 2] = PAIRS ? pair_of(sums[0], sums[1]) : -OFFSET * (sums[0] + sums[1]);
    }
}

// Where token t's sums start, from those of the first.
#define START(t) (start + (t) * starts)

// A part of 32 columns: its sums of products, times the scales of its sub-blocks, to `sum`. q, start: of n tokens,
// k and `starts` apart.
static ALWAYS_INLINE void Q4_JOIN(GEMV_K(gemv_part), ISA)(vi sum[][K_ROWS / LANES], const PANEL *p, size_t part,
                                                          size_t v, const int8_t *q, size_t k, const int32_t *start,
                                                          size_t starts, const struct k_scales *scales, size_t n) {
    vi g[8];
    GEMV_K(groups)(g, p, part, v * LANES);
    UNROLLED (s, 32 / SUB) {
        size_t at = part * (32 / SUB) + s;
        vi scale = scale_form(vi_load_bytes(scales->scale[at] + v * LANES));
        UNROLLED (t, n)
            UNROLLED (i, SUB / 4 / STEPS) {
                vi products = OFFSET && !PAIRS ? vi_all(START(t)[at]) : vi_zero();
                UNROLLED (j, STEPS) {
                    size_t c = s * (SUB / 4) + i * STEPS + j;
                    products = DOT(products, g[c], vi_all(group(q + t * k + part * 32 + 4 * c)));
                }
                sum[t][v] = products_scaled(products, scale, sum[t][v]);
            }
    }
}

// Sums of activations times `factors` of their sub-blocks.
static ALWAYS_INLINE vi Q4_JOIN(GEMV_K(gemv_pairs), ISA)(const int8_t factors[][K_ROWS], size_t r,
                                                         const int32_t *sums) {
    vi total = vi_zero();
    UNROLLED (pair, Q4_SUPER / 32) {
        const int8_t (*two)[K_ROWS] = factors + pair * (32 / SUB);
        total = dot2(total, vi_pairs(two[0] + r, two[SUB == 16] + r), vi_all(sums[pair]));
    }
    return total;
}

// Adds a super-block to the accumulators of 16 rows and n tokens.
static ALWAYS_INLINE void Q4_JOIN(GEMV_K(gemv_block), ISA)(vf acc[][K_ROWS / LANES], const PANEL *p, const int8_t *q,
                                                           size_t k, const float *d, const int32_t *start, size_t n) {
    struct k_scales scales;
    vi sum[GEMV_TOKENS][K_ROWS / LANES];
    size_t blocks = k / Q4_SUPER, starts = blocks * STARTS;
    GEMV_K(scales)(&scales, p);
    prefetch_ahead(p, offsetof(PANEL, q));
    UNROLLED (t, n)
        UNROLLED (v, K_ROWS / LANES)
            sum[t][v] = vi_zero();
    for (size_t part = 0; part < 8; part++) {
        prefetch_ahead(p->q[part], sizeof p->q[part]);
        UNROLLED (v, K_ROWS / LANES)
            Q4_JOIN(GEMV_K(gemv_part), ISA)(sum, p, part, v, q, k, start, starts, &scales, n);
    }
#ifndef MINIMA
    if (PAIRS)
        UNROLLED (v, K_ROWS / LANES)
            UNROLLED (t, n) {
                vi excess = Q4_JOIN(GEMV_K(gemv_pairs), ISA)(scales.scale, v * LANES, START(t));
                sum[t][v] = vi_add(sum[t][v], vi_mul(excess, vi_all(-OFFSET)));
            }
#endif
    UNROLLED (v, K_ROWS / LANES) {
        vf scale = vf_load_halves(p->d + v * LANES);
        UNROLLED (t, n)
            acc[t][v] = vf_fma(vf_from(sum[t][v]), vf_mul(scale, vf_all(d[t * blocks])), acc[t][v]);
    }
#ifdef MINIMA
    UNROLLED (v, K_ROWS / LANES) {
        vf scale = vf_load_halves(p->dmin + v * LANES);
        UNROLLED (t, n) {
            vi below = Q4_JOIN(GEMV_K(gemv_pairs), ISA)(scales.minimum, v * LANES, START(t));
            acc[t][v] = vf_fma(vf_from(below), vf_mul(scale, vf_all(-d[t * blocks])), acc[t][v]);
        }
    }
#endif
}

static ALWAYS_INLINE void Q4_JOIN(GEMV_K(gemv_tokens), ISA)(const PANEL *p, const struct q4_task *task, size_t row,
                                                            size_t token, size_t n) {
    size_t blocks = task->k / Q4_SUPER, at = task->token0 + token;
    const int8_t *q = task->acts->q + at * task->k;
    const float *d = task->acts->d + at * blocks;
    const int32_t *start = (const int32_t *)task->scratch + token * blocks * STARTS;
    vf acc[GEMV_TOKENS][K_ROWS / LANES];
    UNROLLED (t, n)
        UNROLLED (v, K_ROWS / LANES)
            acc[t][v] = vf_zero();
    for (size_t b = 0; b < blocks; b++, p++)
        Q4_JOIN(GEMV_K(gemv_block), ISA)(acc, p, q + b * Q4_SUPER, task->k, d + b, start + b * STARTS, n);
    UNROLLED (t, n)
        store_rows(task->y + (token + t) * task->y_stride + row, task->n_rows - row, acc[t], K_ROWS / LANES);
}

void Q4_JOIN(GEMV_K(q4_gemv), ISA)(const struct q4_task *task) {
    size_t blocks = task->k / Q4_SUPER;
    const PANEL *p = (const PANEL *)task->weights;
    for (size_t t = 0; t < task->n_tokens; t++)
        Q4_JOIN(GEMV_K(starts), ISA)
    ((int32_t *)task->scratch + t * blocks * STARTS, task->acts->q + (task->token0 + t) * task->k, task->k);
    for (size_t row = 0; row < task->n_rows; row += K_ROWS, p += blocks)
        EACH_FEW_TOKENS(Q4_JOIN(GEMV_K(gemv_tokens), ISA), p, task, row);
}

size_t Q4_JOIN(Q4_JOIN(GEMV_K(q4_gemv), ISA), scratch)(size_t k) {
    return Q4_JOIN(FEW_TOKENS, ISA) * (k / Q4_SUPER) * STARTS * sizeof(int32_t);
}

#undef START
#undef GEMV_K
#undef PANEL
#undef STARTS
#undef STEPS
#undef PAIRS
#undef TYPE
#undef SUB
#undef DOT
#undef FIT
#undef OFFSET
#undef MINIMA
