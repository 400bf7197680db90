// Template: GEMV of the types with super-blocks, 16 rows x 1 token. Includer: vec_*.h and unpack_k.h, then ISA and
//   TYPE     its suffix of names
//   SUB      columns of a sub-block
//   DOT      products with activations: dot_tiny, dot_small or dot_bytes
//   OFFSET   by which unsigned bytes exceed weights
//   MINIMA   where defined, sub-blocks have minima; then OFFSET is 0
#define GEMV_K(function) Q4_JOIN(function, TYPE)
#define PANEL GEMV_K(panel)
#ifdef MINIMA
#define STARTS 8 // of a super-block
#else
#define STARTS (Q4_SUPER / SUB)
#endif

// scratch: where the sums of products of each sub-block start, once a task. With minima, the sums of activations of
// every two of 16 columns as 16-bit pairs.
static void Q4_JOIN(GEMV_K(starts), ISA)(int32_t *start, const int8_t *q, size_t k) {
    int sums[2] = {0, 0};
    for (size_t s = 0; s < k / 16; s++) {
        int sum = 0;
        for (size_t i = 0; i < 16; i++)
            sum += q[16 * s + i];
        sums[s % 2] = sum;
#ifdef MINIMA
        if (s % 2)
            start[s / 2] = pair_of(sums[0], sums[1]);
#else
        if (SUB == 16)
            start[s] = -OFFSET * sum;
        else if (s % 2)
            start[s / 2] = -OFFSET * (sums[0] + sums[1]);
#endif
    }
}

// A part of 32 columns: its sums of products, times the scales of its sub-blocks, to `sum`.
static ALWAYS_INLINE vi Q4_JOIN(GEMV_K(gemv_part), ISA)(vi sum, const PANEL *p, size_t part, size_t r, const int8_t *q,
                                                        const int32_t *start, const struct k_scales *scales) {
    vi g[8];
    GEMV_K(groups)(g, p, part, r);
    UNROLLED (s, 32 / SUB) {
        size_t at = part * (32 / SUB) + s;
        vi products = DOT(g + s * (SUB / 4), SUB / 4, q + s * SUB, OFFSET ? start[at] : 0);
        sum = vi_add(sum, vi_mul(products, vi_load_bytes(scales->scale[at] + r)));
    }
    return sum;
}

#ifdef MINIMA
static ALWAYS_INLINE vi Q4_JOIN(GEMV_K(gemv_minima), ISA)(const struct k_scales *scales, size_t r,
                                                          const int32_t *sums) {
    vi below = vi_zero();
    UNROLLED (pair, Q4_SUPER / 32) {
        const int8_t (*minimum)[K_ROWS] = scales->minimum + pair * (32 / SUB);
        below = dot2(below, vi_pairs(minimum[0] + r, minimum[SUB == 16] + r), vi_all(sums[pair]));
    }
    return below;
}
#endif

// Adds a super-block to the accumulators of 16 rows.
static ALWAYS_INLINE void Q4_JOIN(GEMV_K(gemv_block), ISA)(vf acc[], const PANEL *p, const int8_t *q, float dx,
                                                           const int32_t *start) {
    struct k_scales scales;
    vi sum[K_ROWS / LANES];
    GEMV_K(scales)(&scales, p);
    prefetch_ahead(p, offsetof(PANEL, q));
    UNROLLED (v, K_ROWS / LANES)
        sum[v] = vi_zero();
    for (size_t part = 0; part < 8; part++) {
        prefetch_ahead(p->q[part], sizeof p->q[part]);
        UNROLLED (v, K_ROWS / LANES)
            sum[v] = Q4_JOIN(GEMV_K(gemv_part), ISA)(sum[v], p, part, v * LANES, q + part * 32, start, &scales);
    }
    UNROLLED (v, K_ROWS / LANES)
        acc[v] = vf_fma(vf_from(sum[v]), vf_mul(vf_load_halves(p->d + v * LANES), vf_all(dx)), acc[v]);
#ifdef MINIMA
    UNROLLED (v, K_ROWS / LANES) {
        vi below = Q4_JOIN(GEMV_K(gemv_minima), ISA)(&scales, v * LANES, start);
        acc[v] = vf_fma(vf_from(below), vf_mul(vf_load_halves(p->dmin + v * LANES), vf_all(-dx)), acc[v]);
    }
#endif
}

void Q4_JOIN(GEMV_K(q4_gemv), ISA)(const struct q4_task *t) {
    size_t blocks = t->k / Q4_SUPER;
    const int8_t *q = t->acts->q + t->token0 * t->k;
    const float *d = t->acts->d + t->token0 * blocks;
    const PANEL *p = (const PANEL *)t->weights;
    int32_t *start = (int32_t *)t->scratch;
    Q4_JOIN(GEMV_K(starts), ISA)(start, q, t->k);
    for (size_t row = 0; row < t->n_rows; row += K_ROWS) {
        vf acc[K_ROWS / LANES];
        UNROLLED (v, K_ROWS / LANES)
            acc[v] = vf_zero();
        for (size_t b = 0; b < blocks; b++, p++)
            Q4_JOIN(GEMV_K(gemv_block), ISA)(acc, p, q + b * Q4_SUPER, d[b], start + b * STARTS);
        store_rows(t->y + row, t->n_rows - row, acc, K_ROWS / LANES);
    }
}

size_t Q4_JOIN(Q4_JOIN(GEMV_K(q4_gemv), ISA), scratch)(size_t k) { return k / Q4_SUPER * STARTS * sizeof(int32_t); }

#undef GEMV_K
#undef PANEL
#undef STARTS
#undef TYPE
#undef SUB
#undef DOT
#undef OFFSET
#undef MINIMA
