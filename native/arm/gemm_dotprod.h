// Many tokens times weights in the layout lane16, by SDOT. Included once a kernel with GEMM_NAME and DECODE_TYPE.
// 8 rows are decoded to scratch once for all tokens; q4_tile8x4_dotprod multiplies them with 4 tokens at a time.
#include "acts_pack.h"
#include "decode_lane16.h"

#define TILE_ROWS 8
#define GROUP_OUT (HAS_MIN ? 128 + 32 : 128 + 16) // decoded bytes of 4 rows x 32 columns: 8 column quads, d, m

void q4_tile8x4_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride,
                        const uint32_t magic[8]);
void q4_tile8x4_min_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride,
                            const uint32_t magic[8]);

static inline void decode_group(uint8_t *out, const uint8_t *block, size_t group) {
    uint8x16_t v[8];
    decode_quads(v, block, group);
    for (size_t c = 0; c < 8; c++)
        vst1q_u8(out + 16 * c, v[c]);
    vst1q_f32((float *)(out + 128), group_scales(block, group));
#if HAS_MIN
    vst1q_f32((float *)(out + 144), group_scales(block + 32, group));
#endif
}

static void decode_panel(uint8_t *out, const uint8_t *panel, size_t half, size_t n_blocks) {
    for (size_t b = 0; b < n_blocks; b++, panel += BLOCK_BYTES, out += 2 * GROUP_OUT) {
        decode_group(out, panel, 2 * half);
        decode_group(out + GROUP_OUT, panel, 2 * half + 1);
    }
}

static const uint32_t magic[8] = {MAGIC4, MAGIC4};

// y: 4 tokens of 8 floats, stride floats apart
static inline void run_tile(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride) {
    if (HAS_MIN)
        q4_tile8x4_min_dotprod(panel, acts, n_blocks, y, stride * sizeof *y, magic);
    else
        q4_tile8x4_dotprod(panel, acts, n_blocks, y, stride * sizeof *y, magic);
}

size_t Q4_JOIN(GEMM_NAME, scratch)(size_t k) { return k / Q4_BLOCK * 2 * GROUP_OUT; }

void GEMM_NAME(const struct q4_task *t) {
    size_t n_blocks = t->k / Q4_BLOCK, tile_bytes = q4_round_up(n_blocks * QUAD4_BYTES, 64);
    const uint8_t *acts0 = t->acts->packed + t->token0 / QUAD4_TOKENS * tile_bytes;
    for (size_t r = 0; r < t->n_rows; r += TILE_ROWS) {
        decode_panel(t->scratch, t->weights + r / LANE16_ROWS * n_blocks * BLOCK_BYTES, r / TILE_ROWS % 2, n_blocks);
        size_t rows = q4_min_size(TILE_ROWS, t->n_rows - r);
        const uint8_t *acts = acts0;
        for (size_t i = 0; i < t->n_tokens; i += QUAD4_TOKENS, acts += tile_bytes) {
            float *y = t->y + i * t->y_stride + r;
            size_t tokens = q4_min_size(QUAD4_TOKENS, t->n_tokens - i);
            if (rows == TILE_ROWS && tokens == QUAD4_TOKENS) {
                run_tile(t->scratch, acts, n_blocks, y, t->y_stride);
                continue;
            }
            float part[QUAD4_TOKENS][TILE_ROWS];
            run_tile(t->scratch, acts, n_blocks, part[0], TILE_ROWS);
            for (size_t j = 0; j < tokens; j++)
                memcpy(y + j * t->y_stride, part[j], rows * sizeof *y);
        }
    }
}
