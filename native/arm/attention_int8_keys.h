// Scores of int8 keys, included by attention.h with DOTPROD = 1 (SDOT) or 0 (SMULL and SADALP). Lanes are positions:
// 16 bytes are four dimensions of four positions, which meet the same four of a query. Sums are exact.

typedef struct {
    const int8_t *q;            // Q4_BLOCK dimensions of the first row's query …
    const float *scale;         // … and their scale
    const int8_t *keys;         // the same of the first position's key …
    const uint16_t *key_scales; // … and their scale
} key_block;

#if DOTPROD
#define KEY_VECTORS(N) ((N) <= 2 ? 8 : 4) // at once: sums, keys and queries stay in registers

// Products of a fourth of the dimensions in x.
#define ADD_FOUR(LANE)                                                                                                 \
    UNROLL for (size_t v = 0; v < vectors; v++) {                                                                      \
        int8x16_t keys = vld1q_s8(at + (LANE) * 4 * Q4_KV_BLOCK + v * 16);                                             \
        UNROLL for (size_t r = 0; r < n_rows; r++) sum[r][v] = vdotq_laneq_s32(sum[r][v], keys, x[r], LANE);           \
    }

static ALWAYS_INLINE void add_products(int32x4_t sum[ROWS][8], const key_block *from, size_t n_rows, size_t vectors) {
    for (size_t d = 0; d < Q4_BLOCK; d += 16) {
        const int8_t *at = from->keys + d * Q4_KV_BLOCK;
        int8x16_t x[ROWS];
        UNROLL for (size_t r = 0; r < n_rows; r++) x[r] = vld1q_s8(from->q + r * STRIDE + d);
        ADD_FOUR(0)
        ADD_FOUR(1)
        ADD_FOUR(2)
        ADD_FOUR(3)
    }
}
#else
#define KEY_VECTORS(N) ((N) <= 2 ? 4 : 2)

static ALWAYS_INLINE int8x16_t load_four(const int8_t *q) {
    int32_t four;
    memcpy(&four, q, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

// Products of twice four dimensions fit 16 bits: 2 * 127 * 128.
static ALWAYS_INLINE void add_products(int32x4_t sum[ROWS][8], const key_block *from, size_t n_rows, size_t vectors) {
    int32x4_t low[ROWS][4], high[ROWS][4]; // of two positions each, two sums a position
    UNROLL for (size_t r = 0; r < n_rows; r++) UNROLL for (size_t v = 0; v < vectors; v++) low[r][v] = high[r][v] =
        vdupq_n_s32(0);
    for (size_t d = 0; d < Q4_BLOCK; d += 8) {
        const int8_t *at = from->keys + d * Q4_KV_BLOCK;
        UNROLL for (size_t v = 0; v < vectors; v++) {
            int8x16_t a = vld1q_s8(at + v * 16), b = vld1q_s8(at + 4 * Q4_KV_BLOCK + v * 16);
            UNROLL for (size_t r = 0; r < n_rows; r++) {
                int8x16_t x = load_four(from->q + r * STRIDE + d), y = load_four(from->q + r * STRIDE + d + 4);
                int16x8_t p = vmlal_s8(vmull_s8(vget_low_s8(a), vget_low_s8(x)), vget_low_s8(b), vget_low_s8(y));
                low[r][v] = vpadalq_s16(low[r][v], p);
                high[r][v] = vpadalq_s16(high[r][v], vmlal_high_s8(vmull_high_s8(a, x), b, y));
            }
        }
    }
    UNROLL for (size_t r = 0; r < n_rows; r++) UNROLL for (size_t v = 0; v < vectors; v++) sum[r][v] =
        vpaddq_s32(low[r][v], high[r][v]);
}
#endif

// Adds the block to scores that are there, or begins with it.
static ALWAYS_INLINE void key_vectors(float *scores, const key_block *from, bool begin, size_t n_rows, size_t vectors) {
    int32x4_t sum[ROWS][8];
    UNROLL for (size_t r = 0; r < n_rows; r++) UNROLL for (size_t v = 0; v < vectors; v++) sum[r][v] = vdupq_n_s32(0);
    add_products(sum, from, n_rows, vectors);
    UNROLL for (size_t v = 0; v < vectors; v++) {
        float32x4_t scales = load_4_halves(from->key_scales + 4 * v);
        UNROLL for (size_t r = 0; r < n_rows; r++) {
            float *at = scores + r * Q4_KV_BLOCK + 4 * v;
            float32x4_t scale = vmulq_n_f32(scales, from->scale[r * SCALES]);
            vst1q_f32(at, vfmaq_f32(begin ? vdupq_n_f32(0.0f) : vld1q_f32(at), vcvtq_f32_s32(sum[r][v]), scale));
        }
    }
}

// Scores of n positions, a multiple of 8.
static void key_product(float *scores, key_block from, size_t n, size_t n_rows, bool begin) {
    size_t t = 0;
#define POSITIONS_BY(N, VECTORS)                                                                                       \
    for (; t + 4 * (VECTORS) <= n; t += 4 * (VECTORS)) {                                                               \
        key_vectors(scores + t, &from, begin, N, VECTORS);                                                             \
        from.keys += 16 * (VECTORS);                                                                                   \
        from.key_scales += 4 * (VECTORS);                                                                              \
    }
#define POSITIONS(N)                                                                                                   \
    POSITIONS_BY(N, KEY_VECTORS(N))                                                                                    \
    POSITIONS_BY(N, 2)
    switch (n_rows) {
    case 1:
        POSITIONS(1)
        break;
    case 2:
        POSITIONS(2)
        break;
    case 3:
        POSITIONS(3)
        break;
    default:
        POSITIONS(4)
    }
}
