// Template: GEMM of one weight type, tiles of 32 rows x 6 tokens. Includer: vec_*.h, layouts.h, kernel.h, then
//   ISA, TYPE               suffixes of names; TYPE is q4_0, q4_1, q8_0 or q6_k
//   PACKED, ACTS, ACTS_FORM one block of packed weights and of packed activations, the latter's struct q4_act_packing
//   DECODED, DECODE         one block of 32 decoded rows; from PACKED, to rows r and following
//   SPLIT                   blocks that are decoded at a time: 36 KB at most, so that they stay in L1
//   START, DOT, SUM, MIN    see tile_block
// Weights outer, tokens inner: 32 rows x SPLIT blocks are decoded once and meet all tokens. Where a row has more blocks
// than that, its fp32 accumulators wait in y, which is exact.
#define GEMM_NAME(function) Q4_JOIN(Q4_JOIN(function, TYPE), ISA)
#define TILE struct GEMM_NAME(tile)

// A tile, or the part of one that fits the registers: ROW_VECTORS vectors of rows from row0, tokens from token0.
TILE {
    const DECODED *w;
    const ACTS *a;
    size_t blocks, row0, token0;
    float *y;
    size_t y_stride, rows; // rows of y that count
    bool resume;           // y holds the sums of earlier blocks
    const char *prefetch;  // a part of the weights that come next, and the distance to the same part a block later
    size_t prefetch_step;
};

// Adds one block to n tokens' accumulators; every operand is in a register or broadcast from L1.
static ALWAYS_INLINE void GEMM_NAME(gemm_tile_block)(vf acc[][ROW_VECTORS], const TILE *tile, size_t b, size_t n) {
    const DECODED *w = tile->w + b;
    const ACTS *a = tile->a + b;
    size_t row0 = tile->row0, token0 = tile->token0;
    vi sum[GEMM_TOKENS][ROW_VECTORS];
    UNROLLED (t, n)
        UNROLLED (v, ROW_VECTORS)
            sum[t][v] = START(token0 + t);
    for (size_t step = 0; step < sizeof w->q / sizeof w->q[0]; step += 8)
        UNROLLED (i, 8) {
            vi rows[ROW_VECTORS];
            UNROLLED (v, ROW_VECTORS)
                rows[v] = vi_keep(vi_load(w->q[step + i] + row0 + v * LANES));
            UNROLLED (t, n) {
                vi x = vi_all(a->q[step + i][token0 + t]);
                UNROLLED (v, ROW_VECTORS)
                    sum[t][v] = DOT(sum[t][v], rows[v], x);
            }
        }
    UNROLLED (v, ROW_VECTORS) {
        vf d = vf_load(w->d + row0 + v * LANES);
        UNROLLED (t, n) {
            vf dx = vf_all(a->d[token0 + t]);
            acc[t][v] = vf_fma(vf_from(SUM(sum[t][v], token0 + t)), vf_mul(d, dx), acc[t][v]);
            MIN(acc[t][v], v, token0 + t)
        }
    }
}

static ALWAYS_INLINE void GEMM_NAME(gemm_tile_tokens)(const TILE *tile, size_t n) {
    vf acc[GEMM_TOKENS][ROW_VECTORS];
    UNROLLED (t, n)
        UNROLLED (v, ROW_VECTORS)
            acc[t][v] = tile->resume && tile->rows > v * LANES
                            ? vf_load_first(tile->y + t * tile->y_stride + v * LANES, tile->rows - v * LANES)
                            : vf_zero();
    for (size_t b = 0; b < tile->blocks; b++) {
        _mm_prefetch(tile->prefetch + b * tile->prefetch_step, _MM_HINT_T1);
        GEMM_NAME(gemm_tile_block)(acc, tile, b, n);
    }
    UNROLLED (t, n)
        store_rows(tile->y + t * tile->y_stride, tile->rows, acc[t], ROW_VECTORS);
}

// A constant number of tokens in each call, so that each has its tile in registers.
static void GEMM_NAME(gemm_tile_run)(const TILE *tile, size_t n) {
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

// One decoded panel times all tokens.
static void GEMM_NAME(gemm_panel_run)(const struct q4_task *t, TILE tile, size_t n_rows, const uint8_t *acts) {
    float *y = tile.y;
    const char *prefetch = tile.prefetch;
    for (size_t token = 0; token < t->n_tokens; token += TILE_TOKENS, acts += ACTS_FORM.bytes(t->k)) {
        size_t line = token / TILE_TOKENS * 64; // each tile fetches another line of every block
        tile.a = (const ACTS *)acts;
        tile.prefetch = prefetch + (line < tile.prefetch_step ? line : 0);
        for (tile.row0 = 0; tile.row0 < n_rows; tile.row0 += ROW_VECTORS * LANES)
            for (tile.token0 = 0; tile.token0 < TILE_TOKENS && token + tile.token0 < t->n_tokens;
                 tile.token0 += GEMM_TOKENS) {
                tile.rows = n_rows - tile.row0;
                tile.y = y + (token + tile.token0) * t->y_stride + tile.row0;
                GEMM_NAME(gemm_tile_run)(&tile, q4_min_size(GEMM_TOKENS, t->n_tokens - token - tile.token0));
            }
    }
}

// All rows times as many tokens as L2 holds the activations of.
static void GEMM_NAME(gemm_rows)(const struct q4_task *t) {
    const struct q4_layout *layout = &Q4_JOIN(q4_x86_layout, TYPE);
    size_t blocks = t->k / layout->block_columns, panel_bytes = q4_panel_bytes(layout, t->k);
    const uint8_t *acts = t->acts->packed + t->token0 / TILE_TOKENS * ACTS_FORM.bytes(t->k);
    DECODED *decoded = (DECODED *)t->scratch;
    for (size_t row = 0; row < t->n_rows; row += PANEL_ROWS) {
        size_t n_rows = q4_min_size(PANEL_ROWS, t->n_rows - row);
        const uint8_t *panel = t->weights + row / layout->rows * panel_bytes;
        for (size_t b = 0; b < blocks; b += SPLIT) {
            TILE tile = {.w = decoded,
                         .blocks = q4_min_size(SPLIT, blocks - b),
                         .y = t->y + row,
                         .y_stride = t->y_stride,
                         .resume = b > 0,
                         .prefetch_step = layout->block_bytes};
            for (size_t r = 0; r < n_rows; r += layout->rows)
                for (size_t i = 0; i < tile.blocks; i++)
                    DECODE(decoded + i, r, (const PACKED *)(panel + r / layout->rows * panel_bytes) + b + i);
            tile.prefetch = (const char *)panel + (b + tile.blocks) * layout->block_bytes;
            GEMM_NAME(gemm_panel_run)(t, tile, n_rows, acts + b * sizeof(ACTS));
        }
    }
}

void GEMM_NAME(q4_gemm)(const struct q4_task *t) {
    struct q4_task part = *t;
    size_t tiles = L2_ACTS / ACTS_FORM.bytes(t->k), tokens = (tiles ? tiles : 1) * TILE_TOKENS;
    for (size_t done = 0; done < t->n_tokens; done += part.n_tokens) {
        part.n_tokens = q4_min_size(tokens, t->n_tokens - done);
        part.token0 = t->token0 + done;
        part.y = t->y + done * t->y_stride;
        GEMM_NAME(gemm_rows)(&part);
    }
}

size_t Q4_JOIN(GEMM_NAME(q4_gemm), scratch)(size_t k) {
    return q4_min_size(SPLIT, k / Q4_JOIN(q4_x86_layout, TYPE).block_columns) * sizeof(DECODED);
}

#undef GEMM_NAME
#undef TILE
#undef TYPE
#undef PACKED
#undef ACTS
#undef ACTS_FORM
#undef DECODED
#undef DECODE
#undef SPLIT
#undef START
#undef DOT
#undef SUM
#undef MIN
