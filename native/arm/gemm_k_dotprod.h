// Many tokens times weights with super-blocks, by SDOT. Included once a kernel with GEMM_NAME, GEMM_TILE and FORMAT
// (k_formats.h). 8 rows are decoded to scratch once for all tokens; the tile (tile8x4_k_dotprod.S) multiplies them with
// 4 tokens at a time.
#include "acts_pack.h"
#include "k_formats.h"

#include <string.h>

#define ACTS_BYTES (MINIMA == 16 ? QUAD4_K_16_BYTES : QUAD4_K_BYTES)
#define TILE_ROWS 8
#define SUB_OUT (QUADS * 32 + 32) // decoded bytes of a sub-block: weights and steps of the sub-scales
#define HEADER_OUT (MINIMA ? 64 + 8 * Q4_SUPER / (MINIMA + !MINIMA) : 32)
#define BLOCK_OUT (HEADER_OUT + SUBS * SUB_OUT)

void GEMM_TILE(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride);

static inline void store_field(uint8_t *out, float16x8_t v) {
    vst1q_f32((float *)out, vcvt_f32_f16(vget_low_f16(v)));
    vst1q_f32((float *)out + 4, vcvt_high_f32_f16(v));
}

static inline void decode_block(uint8_t *out, const uint8_t *block, size_t half) {
    store_field(out, field_of(block, 0, half));
#if MINIMA
    store_field(out + 32, field_of(block, 1, half));
    for (size_t g = 0; g < 2; g++)
        for (size_t s = 0; s < SUBS; s += 4)
            vst1q_u8(out + 64 + g * SUBS * 4 + s * 4, minima_of(block, 2 * half + g, s));
#endif
    out += HEADER_OUT;
    for (size_t s = 0; s < SUBS; s++, out += SUB_OUT) {
        for (size_t g = 0; g < 2; g++) {
            uint8x16_t quads[QUADS];
            decode_quads(quads, block, s, 2 * half + g);
            for (size_t i = 0; i < QUADS; i++)
                vst1q_u8(out + 32 * i + 16 * g, quads[i]);
        }
        int16x8_t step = steps_of(block, s, half);
        vst1q_s32((int32_t *)(out + QUADS * 32), vmovl_s16(vget_low_s16(step)));
        vst1q_s32((int32_t *)(out + QUADS * 32) + 4, vmovl_high_s16(step));
    }
}

size_t Q4_JOIN(GEMM_NAME, scratch)(size_t k) { return k / Q4_SUPER * BLOCK_OUT; }

void GEMM_NAME(const struct q4_task *t) {
    size_t n_blocks = t->k / Q4_SUPER, tile_bytes = n_blocks * ACTS_BYTES;
    const uint8_t *acts0 = t->acts->packed + t->token0 / QUAD4_TOKENS * tile_bytes;
    for (size_t r = 0; r < t->n_rows; r += TILE_ROWS) {
        const uint8_t *panel = t->weights + r / PANEL_ROWS * n_blocks * BLOCK_IN;
        for (size_t b = 0; b < n_blocks; b++)
            decode_block(t->scratch + b * BLOCK_OUT, panel + b * BLOCK_IN, r % PANEL_ROWS / TILE_ROWS);
        size_t rows = q4_min_size(TILE_ROWS, t->n_rows - r);
        const uint8_t *acts = acts0;
        for (size_t i = 0; i < t->n_tokens; i += QUAD4_TOKENS, acts += tile_bytes) {
            float *y = t->y + i * t->y_stride + r;
            size_t tokens = q4_min_size(QUAD4_TOKENS, t->n_tokens - i);
            if (rows == TILE_ROWS && tokens == QUAD4_TOKENS) {
                GEMM_TILE(t->scratch, acts, n_blocks, y, t->y_stride * sizeof *y);
                continue;
            }
            float part[QUAD4_TOKENS][TILE_ROWS];
            GEMM_TILE(t->scratch, acts, n_blocks, part[0], sizeof part[0]);
            for (size_t j = 0; j < tokens; j++)
                memcpy(y + j * t->y_stride, part[j], rows * sizeof *y);
        }
    }
}
