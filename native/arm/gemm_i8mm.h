// Many tokens times weights in the layout lane16, by SMMLA. Included once a kernel with GEMM_NAME and DECODE_TYPE.
// 8 rows are decoded to scratch once for all tokens; q4_tile8x8_i8mm does the rest. Q4_0's are decoded while the 8 rows
// before are multiplied, so that decoding costs time for the first panel alone.
#include "acts_pack.h"

#define DECODE_PAIRS
#include "decode_lane16.h"

#define TILE_ROWS 8
#define GROUP_OUT (HAS_MIN ? 128 + 64 : 128 + 32) // decoded bytes of 4 rows x 32 columns
#define PACKED_BYTES (HAS_MIN ? PAIRS8_SUM_BYTES : PAIRS8_BYTES)

void q4_tile8x8_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride,
                     const uint32_t magic[16]);
void q4_tile8x8_min_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride,
                         const uint32_t magic[16]);

static const uint32_t magic[16] = {MAGIC4, MAGIC4, MAGIC4, MAGIC4};

// Scales of 2 row pairs in the form [d0, d1, d0, d1]
static inline void store_scales(uint8_t *out, float32x4_t d) {
    vst1q_f32((float *)out, vcombine_f32(vget_low_f32(d), vget_low_f32(d)));
    vst1q_f32((float *)out + 4, vcombine_f32(vget_high_f32(d), vget_high_f32(d)));
}

static inline void decode_group(uint8_t *out, const uint8_t *block, size_t group) {
    uint8x16_t v[8];
    decode_quads(v, block, group);
    for (size_t i = 0; i < 8; i++)
        vst1q_u8(out + 16 * i, v[i]);
    store_scales(out + 128, group_scales(block, group));
#if HAS_MIN
    store_scales(out + 160, group_scales(block + 32, group));
#endif
}

// 8 rows of a lane16 panel
struct half_panel {
    const uint8_t *blocks;
    size_t half; // rows half * 8 .. + 7
};

static struct half_panel half_panel_at(const struct q4_task *t, size_t row) {
    size_t panel_bytes = t->k / Q4_BLOCK * BLOCK_BYTES;
    return (struct half_panel){t->weights + row / LANE16_ROWS * panel_bytes, row / TILE_ROWS % 2};
}

// Group 0 or 1 of the 8 rows, over all columns
static inline void decode_groups(uint8_t *out, struct half_panel panel, size_t group, size_t n_blocks) {
    out += group * GROUP_OUT;
    for (size_t b = 0; b < n_blocks; b++, panel.blocks += BLOCK_BYTES, out += 2 * GROUP_OUT)
        decode_group(out, panel.blocks, 2 * panel.half + group);
}

static void decode_panel(uint8_t *out, struct half_panel panel, size_t n_blocks) {
    for (size_t b = 0; b < n_blocks; b++, panel.blocks += BLOCK_BYTES, out += 2 * GROUP_OUT) {
        decode_group(out, panel.blocks, 2 * panel.half);
        decode_group(out + GROUP_OUT, panel.blocks, 2 * panel.half + 1);
    }
}

// 4 rows to be decoded by a tile (tile8x8_i8mm.S reads this)
struct next_group {
    const uint8_t *weights, *scales; // of the first block
    uint8_t *decoded;
};

#if DECODE_TYPE == Q4_0
#define DECODES_NEXT 1
void q4_tile8x8_next_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride,
                          const uint32_t magic[16], const struct next_group *next);
#else
#define DECODES_NEXT 0
#endif

struct tile {
    const uint8_t *panel, *acts;
    size_t n_blocks;
    const struct next_group *next; // or NULL
};

static inline void run_tile(const struct tile *t, float *y, size_t stride) {
#if DECODES_NEXT
    if (t->next) {
        q4_tile8x8_next_i8mm(t->panel, t->acts, t->n_blocks, y, stride, magic, t->next);
        return;
    }
#endif
    if (HAS_MIN)
        q4_tile8x8_min_i8mm(t->panel, t->acts, t->n_blocks, y, stride, magic);
    else
        q4_tile8x8_i8mm(t->panel, t->acts, t->n_blocks, y, stride, magic);
}

// Of y only the first `tokens` x `rows` are written.
static void run_part(const struct tile *t, float *y, size_t stride, size_t tokens, size_t rows) {
    if (rows == TILE_ROWS && tokens == PAIRS8_TOKENS) {
        run_tile(t, y, stride * sizeof *y);
        return;
    }
    float part[PAIRS8_TOKENS][TILE_ROWS];
    run_tile(t, part[0], sizeof part[0]);
    for (size_t i = 0; i < tokens; i++)
        memcpy(y + i * stride, part[i], rows * sizeof *y);
}

// Rows row .. + 7, decoded in `panel`, times all tokens. The first two tiles decode the next 8 rows to `next`.
static void run_rows(const struct q4_task *t, size_t row, const uint8_t *panel, uint8_t *next) {
    size_t n_blocks = t->k / Q4_BLOCK, tile_bytes = n_blocks * PACKED_BYTES;
    size_t rows = q4_min_size(TILE_ROWS, t->n_rows - row);
    struct tile tile = {.panel = panel, .n_blocks = n_blocks};
    tile.acts = t->acts->packed + t->token0 / PAIRS8_TOKENS * tile_bytes;
    size_t group = 0;
    for (size_t i = 0; i < t->n_tokens; i += PAIRS8_TOKENS, tile.acts += tile_bytes, group++) {
        struct next_group decoding;
        if (DECODES_NEXT && next && group < 2) {
            struct half_panel source = half_panel_at(t, row + TILE_ROWS);
            size_t in_panel = 2 * source.half + group;
            decoding = (struct next_group){quad_weights(source.blocks, in_panel, 0), source.blocks + 8 * in_panel,
                                           next + group * GROUP_OUT};
            tile.next = &decoding;
        } else {
            tile.next = NULL;
        }
        run_part(&tile, t->y + i * t->y_stride + row, t->y_stride, q4_min_size(PAIRS8_TOKENS, t->n_tokens - i), rows);
    }
    for (; DECODES_NEXT && next && group < 2; group++) // too few tokens for two tiles
        decode_groups(next, half_panel_at(t, row + TILE_ROWS), group, n_blocks);
}

static size_t panel_bytes(size_t k) { return q4_round_up(k / Q4_BLOCK * 2 * GROUP_OUT, 64); }

size_t Q4_JOIN(GEMM_NAME, scratch)(size_t k) { return (1 + DECODES_NEXT) * panel_bytes(k); }

void GEMM_NAME(const struct q4_task *t) {
    size_t n_blocks = t->k / Q4_BLOCK, other = DECODES_NEXT * panel_bytes(t->k);
    for (size_t row = 0; row < t->n_rows; row += TILE_ROWS) {
        uint8_t *panel = t->scratch + row / TILE_ROWS % 2 * other;
        uint8_t *next = t->scratch + (row / TILE_ROWS + 1) % 2 * other;
        if (row == 0 || !DECODES_NEXT)
            decode_panel(panel, half_panel_at(t, row), n_blocks);
        run_rows(t, row, panel, row + TILE_ROWS < t->n_rows ? next : NULL);
    }
}
