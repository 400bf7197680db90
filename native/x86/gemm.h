// Template: GEMM of one weight type, tiles of 32 rows x 6 tokens. Includer: vec_*.h, layouts.h, kernel.h, then
//   ISA, TYPE               suffixes of names; TYPE is a weight type's file name
//   PACKED, ACTS, ACTS_FORM one block of packed weights and of packed activations, the latter's struct q4_act_packing
//   DECODED, DECODE         one block of 32 decoded rows; from PACKED, to rows r and following
//   SPLIT                   blocks that are decoded at most at a time: they stay in L1, activations beside them
//   DOT, FIT                adds products of 4 columns a row; of how many steps they fit 16-bit pairs (vec_avx2.h)
//   START, MIN              see tile_block
//   SUB, MINIMA             types with super-blocks: columns of a sub-block, and where there are any, minima
//   TILE6, TILE_TYPE        where both are defined: whose function in assembly does whole tiles
// Weights outer, tokens inner: 32 rows x SPLIT blocks are decoded once and meet all tokens. Where a row has more blocks
// than that, its fp32 accumulators wait beside them, which is exact.
#define GEMM_NAME(function) Q4_JOIN(Q4_JOIN(function, TYPE), ISA)
#define TILE struct GEMM_NAME(tile)
#define PART struct GEMM_NAME(part)

#ifdef SUB
#define STEPS AT_ONCE(FIT, SUB / 4)
#else
#define STEPS AT_ONCE(FIT, 8)
#endif

// A tile, or the part of one that fits the registers: ROW_VECTORS vectors of rows from row0, tokens from token0.
TILE {
    const DECODED *w;
    const ACTS *a;
    size_t blocks, row0, token0;
    float *y;
    size_t y_stride;
    bool resume;          // y holds the sums of earlier blocks
    const char *prefetch; // a part of the weights that come next, and the distance to the same part a block later
    size_t prefetch_step;
    size_t ahead; // bytes to the activations of the next tile
};

#if defined TILE6 && defined TILE_TYPE
#define WHOLE_TILE Q4_JOIN(Q4_JOIN(q4_tile6, TILE_TYPE), ISA)
void WHOLE_TILE(float *y, size_t y_stride, const void *w, const void *acts, size_t blocks, bool resume,
                const char *prefetch, size_t prefetch_step, size_t ahead);
#endif

// A decoded part of a panel, and what becomes of its sums.
PART {
    TILE tile;
    struct destination to; // of the first token
    float *sums;           // [token][PANEL_ROWS]: where sums wait that are not stored as they are
    bool direct;           // nothing to wait for: tiles are stored at once
    bool last;             // the row's last blocks
};

// Adds products of n tokens and of columns, four a step, to their integer sums.
static ALWAYS_INLINE void GEMM_NAME(gemm_steps)(vi sum[][ROW_VECTORS], const TILE *tile, size_t b, size_t first,
                                                size_t steps, size_t n) {
    const DECODED *w = tile->w + b;
    const ACTS *a = tile->a + b;
    UNROLLED (i, steps) {
        vi rows[ROW_VECTORS];
        UNROLLED (v, ROW_VECTORS)
            rows[v] = vi_keep(vi_load(w->q[first + i] + tile->row0 + v * LANES));
        UNROLLED (t, n) {
            vi x = vi_all(a->q[first + i][tile->token0 + t]);
            UNROLLED (v, ROW_VECTORS)
                sum[t][v] = DOT(sum[t][v], rows[v], x);
        }
    }
}

#ifdef SUB
// Sums over sub-blocks times their scales, less what bytes exceed weights by or with minima apart.
static ALWAYS_INLINE void GEMM_NAME(gemm_add_offsets)(vi sum[][ROW_VECTORS], const TILE *tile, size_t b, size_t n) {
    const DECODED *w = tile->w + b;
    const ACTS *a = tile->a + b;
    for (size_t pair = 0; pair < Q4_SUPER / 32; pair++) {
        vi offset[ROW_VECTORS];
        UNROLLED (v, ROW_VECTORS)
            offset[v] = vi_keep(vi_load(w->offset[pair] + tile->row0 + v * LANES));
        UNROLLED (t, n) {
            vi x = vi_all(a->sums[pair][tile->token0 + t]);
            UNROLLED (v, ROW_VECTORS)
                sum[t][v] = dot2(sum[t][v], offset[v], x);
        }
    }
}

// acc += float(sum) * (d * dx); sign: of dx.
static ALWAYS_INLINE void GEMM_NAME(gemm_scale)(vf acc[][ROW_VECTORS], vi sum[][ROW_VECTORS], const TILE *tile,
                                                const float *d, const ACTS *a, float sign, size_t n) {
    UNROLLED (v, ROW_VECTORS) {
        vf scale = vf_load(d + tile->row0 + v * LANES);
        UNROLLED (t, n)
            acc[t][v] = vf_fma(vf_from(sum[t][v]), vf_mul(scale, vf_all(sign * a->d[tile->token0 + t])), acc[t][v]);
    }
}

static ALWAYS_INLINE void GEMM_NAME(gemm_tile_block)(vf acc[][ROW_VECTORS], const TILE *tile, size_t b, size_t n) {
    const DECODED *w = tile->w + b;
    vi sum[GEMM_TOKENS][ROW_VECTORS];
    UNROLLED (t, n)
        UNROLLED (v, ROW_VECTORS)
            sum[t][v] = vi_zero();
    for (size_t s = 0; s < Q4_SUPER / SUB; s++) {
        vi scale[ROW_VECTORS];
        UNROLLED (v, ROW_VECTORS)
            scale[v] = vi_load(w->scale[s] + tile->row0 + v * LANES);
        UNROLLED (part, SUB / 4 / STEPS) {
            vi products[GEMM_TOKENS][ROW_VECTORS];
            UNROLLED (t, n)
                UNROLLED (v, ROW_VECTORS)
                    products[t][v] = vi_zero();
            GEMM_NAME(gemm_steps)(products, tile, b, s * (SUB / 4) + part * STEPS, STEPS, n);
            UNROLLED (t, n)
                UNROLLED (v, ROW_VECTORS)
                    sum[t][v] = products_scaled(products[t][v], scale[v], sum[t][v]);
        }
    }
#ifndef MINIMA
    GEMM_NAME(gemm_add_offsets)(sum, tile, b, n);
#endif
    GEMM_NAME(gemm_scale)(acc, sum, tile, w->d, tile->a + b, 1.0f, n);
#ifdef MINIMA
    UNROLLED (t, n)
        UNROLLED (v, ROW_VECTORS)
            sum[t][v] = vi_zero();
    GEMM_NAME(gemm_add_offsets)(sum, tile, b, n);
    GEMM_NAME(gemm_scale)(acc, sum, tile, w->dmin, tile->a + b, -1.0f, n);
#endif
}
#else
// Adds one block to n tokens' accumulators; every operand is in a register or broadcast from L1.
static ALWAYS_INLINE void GEMM_NAME(gemm_tile_block)(vf acc[][ROW_VECTORS], const TILE *tile, size_t b, size_t n) {
    const DECODED *w = tile->w + b;
    const ACTS *a = tile->a + b;
    size_t row0 = tile->row0, token0 = tile->token0;
    vi sum[GEMM_TOKENS][ROW_VECTORS];
    UNROLLED (part, 8 / STEPS) {
        vi products[GEMM_TOKENS][ROW_VECTORS];
        UNROLLED (t, n)
            UNROLLED (v, ROW_VECTORS)
                products[t][v] = products_start(part ? sum[t][v] : vi_all(START(token0 + t)));
        GEMM_NAME(gemm_steps)(products, tile, b, part * STEPS, STEPS, n);
        UNROLLED (t, n)
            UNROLLED (v, ROW_VECTORS)
                sum[t][v] = products_sum(products[t][v], part ? sum[t][v] : vi_all(START(token0 + t)));
    }
    UNROLLED (v, ROW_VECTORS) {
        vf d = vf_load(w->d + row0 + v * LANES);
        UNROLLED (t, n) {
            vf dx = vf_all(a->d[token0 + t]);
            acc[t][v] = vf_fma(vf_from(sum[t][v]), vf_mul(d, dx), acc[t][v]);
            MIN(acc[t][v], v, token0 + t)
        }
    }
}
#endif

static ALWAYS_INLINE void GEMM_NAME(gemm_tile_tokens)(const TILE *tile, size_t n) {
    vf acc[GEMM_TOKENS][ROW_VECTORS];
    UNROLLED (t, n)
        UNROLLED (v, ROW_VECTORS)
            acc[t][v] = tile->resume ? vf_load(tile->y + t * tile->y_stride + v * LANES) : vf_zero();
    for (size_t b = 0; b < tile->blocks; b++) {
        _mm_prefetch(tile->prefetch + b * tile->prefetch_step, _MM_HINT_T1);
        GEMM_NAME(gemm_tile_block)(acc, tile, b, n);
    }
    UNROLLED (t, n)
        UNROLLED (v, ROW_VECTORS)
            vf_store(tile->y + t * tile->y_stride + v * LANES, acc[t][v]);
}

// A constant number of tokens in each call, so that each has its tile in registers.
static void GEMM_NAME(gemm_tile_part)(const TILE *tile, size_t n) {
    switch (n) {
    case 1:
        GEMM_NAME(gemm_tile_tokens)(tile, 1);
        break;
    case 2:
        GEMM_NAME(gemm_tile_tokens)(tile, 2);
        break;
    case 3:
        GEMM_NAME(gemm_tile_tokens)(tile, 3);
        break;
#if GEMM_TOKENS == 6
    case 4:
        GEMM_NAME(gemm_tile_tokens)(tile, 4);
        break;
    case 5:
        GEMM_NAME(gemm_tile_tokens)(tile, 5);
        break;
    case 6:
        GEMM_NAME(gemm_tile_tokens)(tile, 6);
        break;
#endif
    }
}

// 32 rows x n tokens.
static inline void GEMM_NAME(gemm_tile)(const TILE *whole, size_t n) {
#ifdef WHOLE_TILE
    if (n == TILE_TOKENS) {
        WHOLE_TILE(whole->y, whole->y_stride * sizeof(float), whole->w, whole->a, whole->blocks, whole->resume,
                   whole->prefetch, whole->prefetch_step, whole->ahead);
        return;
    }
#endif
    TILE tile = *whole;
    for (tile.row0 = 0; tile.row0 < PANEL_ROWS; tile.row0 += ROW_VECTORS * LANES)
        for (tile.token0 = 0; tile.token0 < n; tile.token0 += GEMM_TOKENS) {
            tile.y = whole->y + tile.token0 * tile.y_stride + tile.row0;
            GEMM_NAME(gemm_tile_part)(&tile, q4_min_size(GEMM_TOKENS, n - tile.token0));
        }
}

// One decoded part of a panel times all tokens.
static void GEMM_NAME(gemm_panel_run)(const struct q4_task *t, const PART *part, const uint8_t *acts) {
    TILE tile = part->tile;
    for (size_t token = 0; token < t->n_tokens; token += TILE_TOKENS, acts += ACTS_FORM.bytes(t->k)) {
        size_t line = token / TILE_TOKENS * 64; // each tile fetches another line of every block
        size_t n = q4_min_size(TILE_TOKENS, t->n_tokens - token);
        tile.a = (const ACTS *)acts;
        tile.y = part->direct ? part->to.y + token * part->to.y_stride : part->sums + token * PANEL_ROWS;
        tile.prefetch = part->tile.prefetch + (line < tile.prefetch_step ? line : 0);
        if (part->last)
            expect_results(&part->to, token, n);
        GEMM_NAME(gemm_tile)(&tile, n);
        if (part->last && !part->direct)
            finish_sums(&part->to, tile.y, token, n);
    }
}

// Tokens whose activations L2 holds: each panel meets them.
static size_t GEMM_NAME(gemm_tokens)(size_t k) {
    size_t tiles = L2_ACTS / ACTS_FORM.bytes(k);
    return (tiles ? tiles : 1) * TILE_TOKENS;
}

// All rows times those tokens.
static void GEMM_NAME(gemm_rows)(const struct q4_task *t) {
    const struct q4_layout *layout = &Q4_JOIN(q4_x86_layout, TYPE);
    size_t blocks = t->k / layout->block_columns, panel_bytes = q4_panel_bytes(layout, t->k);
    size_t parts = (blocks + SPLIT - 1) / SPLIT, most = (blocks + parts - 1) / parts;
    const uint8_t *acts = t->acts->packed + t->token0 / TILE_TOKENS * ACTS_FORM.bytes(t->k);
    DECODED *decoded = (DECODED *)t->scratch;
    size_t tiles = (t->n_tokens + TILE_TOKENS - 1) / TILE_TOKENS;
    bool fetch = tiles * 64 < layout->block_bytes; // each tile asks for a line of every block: some are left
    for (size_t row = 0; row < t->n_rows; row += PANEL_ROWS) {
        size_t n_rows = q4_min_size(PANEL_ROWS, t->n_rows - row);
        const uint8_t *panel = t->weights + row / layout->rows * panel_bytes;
        PART part = {.tile = {.w = decoded, .prefetch_step = layout->block_bytes, .ahead = ACTS_FORM.bytes(t->k)},
                     .to = {t->y + row, t->y_stride, n_rows, t->bias ? t->bias + row : NULL, t->add}};
        part.sums = (float *)(decoded + q4_min_size(SPLIT, blocks));
        part.direct = parts == 1 && n_rows == PANEL_ROWS && !t->bias && !t->add;
        part.tile.y_stride = part.direct ? t->y_stride : PANEL_ROWS;
        for (size_t b = 0; b < blocks; b += most) {
            size_t n = q4_min_size(most, blocks - b);
            for (size_t r = 0; r < n_rows; r += layout->rows)
                for (size_t i = 0; i < n; i++) {
                    const PACKED *from = (const PACKED *)(panel + r / layout->rows * panel_bytes) + b + i;
                    if (fetch)
                        prefetch_ahead(from, sizeof *from);
                    DECODE(decoded + i, r, from);
                }
            part.tile.blocks = n;
            part.tile.resume = b > 0;
            part.tile.prefetch = (const char *)panel + (b + n) * layout->block_bytes;
            part.last = b + n == blocks;
            GEMM_NAME(gemm_panel_run)(t, &part, acts + b * sizeof(ACTS));
        }
    }
    _mm256_zeroupper();
}

void GEMM_NAME(q4_gemm)(const struct q4_task *t) {
    struct q4_task part = *t;
    size_t tokens = GEMM_NAME(gemm_tokens)(t->k);
    for (size_t done = 0; done < t->n_tokens; done += part.n_tokens) {
        part.n_tokens = q4_min_size(tokens, t->n_tokens - done);
        part.token0 = t->token0 + done;
        part.y = t->y + done * t->y_stride;
        GEMM_NAME(gemm_rows)(&part);
    }
}

size_t Q4_JOIN(GEMM_NAME(q4_gemm), scratch)(size_t k) {
    size_t decoded = q4_min_size(SPLIT, k / Q4_JOIN(q4_x86_layout, TYPE).block_columns) * sizeof(DECODED);
    return decoded + GEMM_NAME(gemm_tokens)(k) * PANEL_ROWS * sizeof(float);
}

#undef GEMM_NAME
#undef TILE
#undef PART
#undef TYPE
#undef PACKED
#undef DECODE
#undef TILE_TYPE
#undef WHOLE_TILE
#undef STEPS
#undef DOT
#undef FIT
#ifdef SUB // else these are the type's own
#undef SUB
#undef MINIMA
#else
#undef ACTS
#undef ACTS_FORM
#undef DECODED
#undef SPLIT
#undef START
#undef MIN
#endif
