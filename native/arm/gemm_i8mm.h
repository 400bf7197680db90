// Many tokens times weights in the layout lane16, by SMMLA. Included once a kernel with GEMM_NAME and DECODE_TYPE.
// 8 rows are decoded to scratch once for all tokens; q4_tile8x8_i8mm does the rest.
#include "acts_pack.h"
#include "decode_lane16.h"

#define TILE_ROWS 8
#define GROUP_OUT (HAS_MIN ? 128 + 64 : 128 + 32) // decoded bytes of 4 rows x 32 columns
#define PACKED_BYTES (HAS_MIN ? PAIRS8_SUM_BYTES : PAIRS8_BYTES)

void q4_tile8x8_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride,
                     const uint32_t magic[16]);
void q4_tile8x8_min_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride,
                         const uint32_t magic[16]);

// The start of integer accumulators (tile8x8_i8mm.S): floats whose unit in the last place is 1 / DECODE_FACTOR.
#define MAGIC (DECODE_FACTOR == 16 ? 0x49400000u : 0x4b400000u)
#define MAGIC4 MAGIC, MAGIC, MAGIC, MAGIC
static const uint32_t magic[16] = {MAGIC4, MAGIC4, MAGIC4, MAGIC4};

// v0: 4 rows x 4 columns, v1: the next 4 columns; out: 2 row pairs, each 2 rows x 8 columns
static inline void store_chunk(uint8_t *out, uint8x16_t v0, uint8x16_t v1) {
    uint32x4_t a = vreinterpretq_u32_u8(v0), b = vreinterpretq_u32_u8(v1);
    vst1q_u8(out, vreinterpretq_u8_u32(vzip1q_u32(a, b)));
    vst1q_u8(out + 16, vreinterpretq_u8_u32(vzip2q_u32(a, b)));
}

// Scales of 2 row pairs in the form [d0, d1, d0, d1]
static inline void store_scales(uint8_t *out, float32x4_t d) {
    vst1q_f32((float *)out, vcombine_f32(vget_low_f32(d), vget_low_f32(d)));
    vst1q_f32((float *)out + 4, vcombine_f32(vget_high_f32(d), vget_high_f32(d)));
}

static inline void decode_group(uint8_t *out, const uint8_t *block, size_t group) {
#if DECODE_TYPE == Q8_0
    for (size_t c = 0; c < 4; c++)
        store_chunk(out + 32 * c, vld1q_u8(quad_weights(block, group, 2 * c)),
                    vld1q_u8(quad_weights(block, group, 2 * c + 1)));
#else
    uint32x4_t v[4];
    for (size_t c = 0; c < 4; c++)
        v[c] = vreinterpretq_u32_u8(vld1q_u8(quad_weights(block, group, c)));
    // row pairs of chunks 0 and 2 (low and high nibbles), then of chunks 1 and 3
    uint8x16_t a0 = vreinterpretq_u8_u32(vzip1q_u32(v[0], v[1])), a1 = vreinterpretq_u8_u32(vzip2q_u32(v[0], v[1]));
    uint8x16_t b0 = vreinterpretq_u8_u32(vzip1q_u32(v[2], v[3])), b1 = vreinterpretq_u8_u32(vzip2q_u32(v[2], v[3]));
    vst1q_u8(out, LOW(a0));
    vst1q_u8(out + 16, LOW(a1));
    vst1q_u8(out + 32, LOW(b0));
    vst1q_u8(out + 48, LOW(b1));
    vst1q_u8(out + 64, HIGH(a0));
    vst1q_u8(out + 80, HIGH(a1));
    vst1q_u8(out + 96, HIGH(b0));
    vst1q_u8(out + 112, HIGH(b1));
#endif
    store_scales(out + 128, group_scales(block, group));
#if HAS_MIN
    store_scales(out + 160, group_scales(block + 32, group));
#endif
}

// Rows `half` * 8 .. + 7 of a lane16 panel
static void decode_panel(uint8_t *out, const uint8_t *panel, size_t half, size_t n_blocks) {
    for (size_t b = 0; b < n_blocks; b++, panel += BLOCK_BYTES, out += 2 * GROUP_OUT) {
        decode_group(out, panel, 2 * half);
        decode_group(out + GROUP_OUT, panel, 2 * half + 1);
    }
}

static inline void run_tile(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride) {
    if (HAS_MIN)
        q4_tile8x8_min_i8mm(panel, acts, n_blocks, y, stride, magic);
    else
        q4_tile8x8_i8mm(panel, acts, n_blocks, y, stride, magic);
}

size_t Q4_JOIN(GEMM_NAME, scratch)(size_t k) { return k / Q4_BLOCK * 2 * GROUP_OUT; }

void GEMM_NAME(const struct q4_task *t) {
    size_t n_blocks = t->k / Q4_BLOCK, tile_bytes = n_blocks * PACKED_BYTES;
    const uint8_t *acts0 = t->acts->packed + t->token0 / PAIRS8_TOKENS * tile_bytes;
    for (size_t r = 0; r < t->n_rows; r += TILE_ROWS) {
        decode_panel(t->scratch, t->weights + r / LANE16_ROWS * n_blocks * BLOCK_BYTES, r / TILE_ROWS % 2, n_blocks);
        size_t rows = q4_min_size(TILE_ROWS, t->n_rows - r);
        const uint8_t *acts = acts0;
        for (size_t i = 0; i < t->n_tokens; i += PAIRS8_TOKENS, acts += tile_bytes) {
            float *y = t->y + i * t->y_stride + r;
            size_t tokens = q4_min_size(PAIRS8_TOKENS, t->n_tokens - i);
            if (rows == TILE_ROWS && tokens == PAIRS8_TOKENS) {
                run_tile(t->scratch, acts, n_blocks, y, t->y_stride * sizeof *y);
                continue;
            }
            float part[PAIRS8_TOKENS][TILE_ROWS];
            run_tile(t->scratch, acts, n_blocks, part[0], sizeof part[0]);
            for (size_t j = 0; j < tokens; j++)
                memcpy(y + j * t->y_stride, part[j], rows * sizeof *y);
        }
    }
}
