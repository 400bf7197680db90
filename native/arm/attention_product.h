// Template: a product of attention.h, out[row][lane] = sum over j, in order, of a[row][j] * b[j][lane], of up to ROWS
// rows. Includer: PRODUCT, its name, and
//   FMLAL  1, or 0 for FMLA: the same bits, since a and b are fp16 values
//   INT8   1 where b is int8 and a is multiplied by scales of j and each Q4_BLOCK lanes, which is exact; else 0: b is
//          fp16. Not with FMLAL
#define WITH(NAME) Q4_JOIN(PRODUCT, NAME)

#if INT8
#define ELEMENT int8_t
#else
#define ELEMENT uint16_t
#endif

#if FMLAL
#define FACTOR float16x8_t // of one row: 8 values of j
#define FACTORS 8
#define LOAD_FACTORS load_halves
#define LOAD_FACTOR(P) vreinterpretq_f16_u16(vld1q_dup_u16(P))
#define WIDE 8
#define DECLARE_LANES float16x8_t lanes[8]
#define LOAD_LANES(P, V) lanes[V] = load_halves(P)
#define ADD_LANES(R, V, LANE)                                                                                          \
    acc[R][V][0] = vfmlalq_laneq_low_f16(acc[R][V][0], lanes[V], x[R], LANE);                                          \
    acc[R][V][1] = vfmlalq_laneq_high_f16(acc[R][V][1], lanes[V], x[R], LANE)
#else
#define FACTOR float32x4_t
#define FACTORS 4
#define LOAD_FACTORS load_4_halves
#define LOAD_FACTOR(P) vcvt_f32_f16(vreinterpret_f16_u16(vld1_dup_u16(P)))
#define WIDE 4
#define DECLARE_LANES float32x4_t low[8], high[8]
#if INT8
#define LOAD_LANES(P, V)                                                                                               \
    if (vectors % 2 == 0 && (V) % 2 == 0) { /* the next one's too */                                                   \
        int8x16_t both = vld1q_s8(P);                                                                                  \
        TO_FLOATS(V, vmovl_s8(vget_low_s8(both)));                                                                     \
        TO_FLOATS((V) + 1, vmovl_high_s8(both));                                                                       \
    } else if (vectors % 2) {                                                                                          \
        TO_FLOATS(V, vmovl_s8(vld1_s8(P)));                                                                            \
    }
#define TO_FLOATS(V, WORDS)                                                                                            \
    low[V] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(WORDS)));                                                            \
    high[V] = vcvtq_f32_s32(vmovl_high_s16(WORDS))
#else
#define LOAD_LANES(P, V)                                                                                               \
    float16x8_t h = load_halves(P);                                                                                    \
    low[V] = vcvt_f32_f16(vget_low_f16(h));                                                                            \
    high[V] = vcvt_high_f32_f16(h)
#endif
#define ADD_LANES(R, V, LANE)                                                                                          \
    acc[R][V][0] = vfmaq_laneq_f32(acc[R][V][0], low[V], x[R], LANE);                                                  \
    acc[R][V][1] = vfmaq_laneq_f32(acc[R][V][1], high[V], x[R], LANE)
#endif

#if INT8
#define SCALES_PARAMETER const uint16_t *scales,
#define SCALES_OF_LANE(I) scales + (I) / Q4_BLOCK *Q4_KV_BLOCK,
#define SCALED(X, LOAD) vmulq_f32(X, LOAD(scales + j))
#else
#define SCALES_PARAMETER
#define SCALES_OF_LANE(I)
#define SCALED(X, LOAD) X
#endif

// One j for all rows and lanes
#define STEP(B, LANE)                                                                                                  \
    do {                                                                                                               \
        DECLARE_LANES;                                                                                                 \
        UNROLL for (size_t v = 0; v < vectors; v++) { LOAD_LANES((B) + v * 8, v); }                                    \
        UNROLL for (size_t r = 0; r < n_rows; r++) UNROLL for (size_t v = 0; v < vectors; v++) {                       \
            ADD_LANES(r, v, LANE);                                                                                     \
        }                                                                                                              \
    } while (0)

// a: rows a_stride halves apart, out: rows out_stride floats apart; b: b_stride elements from one j to the next.
static ALWAYS_INLINE void WITH(vectors)(float *out, size_t out_stride, const uint16_t *a, size_t a_stride,
                                        const ELEMENT *b, size_t b_stride, SCALES_PARAMETER size_t n_j, size_t n_rows,
                                        size_t vectors) {
    float32x4_t acc[ROWS][8][2];
    UNROLL for (size_t r = 0; r < n_rows; r++) UNROLL for (size_t v = 0; v < 2 * vectors; v++) acc[r][v / 2][v % 2] =
        vdupq_n_f32(0.0f);
    FACTOR x[ROWS];
    size_t j = 0;
    for (; j + FACTORS <= n_j; j += FACTORS, b += FACTORS * b_stride) {
        UNROLL for (size_t r = 0; r < n_rows; r++) x[r] = SCALED(LOAD_FACTORS(a + r * a_stride + j), LOAD_FACTORS);
        STEP(b, 0);
        STEP(b + b_stride, 1);
        STEP(b + 2 * b_stride, 2);
        STEP(b + 3 * b_stride, 3);
#if FMLAL
        STEP(b + 4 * b_stride, 4);
        STEP(b + 5 * b_stride, 5);
        STEP(b + 6 * b_stride, 6);
        STEP(b + 7 * b_stride, 7);
#endif
    }
    for (; j < n_j; j++, b += b_stride) {
        UNROLL for (size_t r = 0; r < n_rows; r++) x[r] = SCALED(LOAD_FACTOR(a + r * a_stride + j), LOAD_FACTOR);
        STEP(b, 0);
    }
    UNROLL for (size_t r = 0; r < n_rows; r++) UNROLL for (size_t v = 0; v < 2 * vectors; v++) {
        float *at = out + r * out_stride + v * 4;
        vst1q_f32(at, acc[r][v / 2][v % 2]);
    }
}

// Vectors of 8 lanes at once, by rows: at most 16 accumulators of 4 lanes stay in registers.
static void PRODUCT(float *out, size_t out_stride, const uint16_t *a, size_t a_stride, const ELEMENT *b,
                    size_t b_stride, SCALES_PARAMETER size_t n_j, size_t n_lanes, size_t n_rows) {
    size_t i = 0;
#define LANES_BY(N, VECTORS)                                                                                           \
    for (; i + 8 * (VECTORS) <= n_lanes; i += 8 * (VECTORS))                                                           \
        WITH(vectors)(out + i, out_stride, a, a_stride, b + i, b_stride, SCALES_OF_LANE(i) n_j, N, VECTORS);
    switch (n_rows) {
    case 1:
        LANES_BY(1, WIDE)
        LANES_BY(1, 1)
        break;
    case 2:
        LANES_BY(2, 4)
        LANES_BY(2, 1)
        break;
    case 3:
        LANES_BY(3, 2)
        LANES_BY(3, 1)
        break;
    default:
        LANES_BY(4, 2)
        LANES_BY(4, 1)
    }
}

#undef WITH
#undef ELEMENT
#undef FACTOR
#undef FACTORS
#undef LOAD_FACTORS
#undef LOAD_FACTOR
#undef WIDE
#undef DECLARE_LANES
#undef LOAD_LANES
#undef TO_FLOATS
#undef ADD_LANES
#undef SCALES_PARAMETER
#undef SCALES_OF_LANE
#undef SCALED
#undef STEP
#undef LANES_BY
#undef PRODUCT
#undef FMLAL
#undef INT8
