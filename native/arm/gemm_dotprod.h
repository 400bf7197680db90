// Many tokens times weights in the layout lane16, by SDOT. Included once a kernel with GEMM_NAME and DECODE_TYPE.
// 8 rows are decoded to scratch once for all tokens; tiles are 8 rows x 4 tokens, so that 8 fp32 and 8 integer
// accumulators of 4 rows each stay in registers.
#include "acts_pack.h"
#include "decode_lane16.h"

#define TILE_ROWS 8
#define GROUP_OUT (HAS_MIN ? 128 + 32 : 128 + 16) // decoded bytes of 4 rows x 32 columns: 8 column quads, d, m

static inline void decode_group(uint8_t *out, const uint8_t *block, size_t group) {
    for (size_t c = 0; c < 4; c++) {
#if DECODE_TYPE == Q8_0
        vst1q_u8(out + 16 * c, vld1q_u8(quad_weights(block, group, c)));
        vst1q_u8(out + 64 + 16 * c, vld1q_u8(quad_weights(block, group, c + 4)));
#else
        uint8x16_t v = vld1q_u8(quad_weights(block, group, c));
        vst1q_u8(out + 16 * c, LOW(v));
        vst1q_u8(out + 64 + 16 * c, HIGH(v));
#endif
    }
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

#define DOT4(W, LANE)                                                                                                  \
    do {                                                                                                               \
        int8x16_t w_ = W;                                                                                              \
        sum[0] = vdotq_laneq_s32(sum[0], w_, x[0], LANE);                                                              \
        sum[1] = vdotq_laneq_s32(sum[1], w_, x[1], LANE);                                                              \
        sum[2] = vdotq_laneq_s32(sum[2], w_, x[2], LANE);                                                              \
        sum[3] = vdotq_laneq_s32(sum[3], w_, x[3], LANE);                                                              \
    } while (0)

// 4 rows x 16 columns x 4 tokens
static inline void dot_half(int32x4_t sum[4], const uint8_t *weights, const int8x16_t x[4]) {
    const int8_t *w = (const int8_t *)weights;
    DOT4(vld1q_s8(w), 0);
    DOT4(vld1q_s8(w + 16), 1);
    DOT4(vld1q_s8(w + 32), 2);
    DOT4(vld1q_s8(w + 48), 3);
}

#if DECODE_FACTOR == 16
#define TO_FLOAT(SUM) vcvtq_n_f32_s32(SUM, 4)
#else
#define TO_FLOAT(SUM) vcvtq_f32_s32(SUM)
#endif

#define SCALE(ACC, VALUE, D, X)                                                                                        \
    do {                                                                                                               \
        ACC[0] = vfmaq_f32(ACC[0], VALUE(0), vmulq_laneq_f32(D, X, 0));                                                \
        ACC[1] = vfmaq_f32(ACC[1], VALUE(1), vmulq_laneq_f32(D, X, 1));                                                \
        ACC[2] = vfmaq_f32(ACC[2], VALUE(2), vmulq_laneq_f32(D, X, 2));                                                \
        ACC[3] = vfmaq_f32(ACC[3], VALUE(3), vmulq_laneq_f32(D, X, 3));                                                \
    } while (0)

static inline void tile_block(float32x4_t acc[2][4], const uint8_t *w, const uint8_t *acts) {
    int32x4_t sum[2][4];
    for (int g = 0; g < 2; g++)
        for (int i = 0; i < 4; i++)
            sum[g][i] = vdupq_n_s32(0);
    for (int h = 0; h < 2; h++) {
        int8x16_t x[4];
        for (int i = 0; i < 4; i++)
            x[i] = vld1q_s8((const int8_t *)acts + h * 64 + i * 16);
        dot_half(sum[0], w + h * 64, x);
        dot_half(sum[1], w + GROUP_OUT + h * 64, x);
    }
    float32x4_t dx = vld1q_f32((const float *)(acts + 128));
    for (int g = 0; g < 2; g++) {
        float32x4_t d = vld1q_f32((const float *)(w + g * GROUP_OUT + 128));
#define INTEGER_SUM(I) TO_FLOAT(sum[g][I])
        SCALE(acc[g], INTEGER_SUM, d, dx);
#if HAS_MIN
        float32x4_t m = vld1q_f32((const float *)(w + g * GROUP_OUT + 144));
#define TOKEN_SUM(I) vdupq_n_f32(((const float *)(acts + 144))[I])
        SCALE(acc[g], TOKEN_SUM, m, dx);
#endif
    }
}

// y: 4 tokens of 8 floats, stride floats apart
static void run_tile(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride) {
    float32x4_t acc[2][4];
    for (int i = 0; i < 4; i++)
        acc[0][i] = acc[1][i] = vdupq_n_f32(0);
    for (size_t b = 0; b < n_blocks; b++, panel += 2 * GROUP_OUT, acts += QUAD4_BYTES)
        tile_block(acc, panel, acts);
    for (int i = 0; i < 4; i++, y += stride) {
        vst1q_f32(y, acc[0][i]);
        vst1q_f32(y + 4, acc[1][i]);
    }
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
