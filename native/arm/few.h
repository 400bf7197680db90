// What the kernels for two to Q4_FEW_TOKENS tokens share. They read the GEMV kernels' weights once for all tokens:
// a part of a panel meets up to four in registers. Activations are packed in the scratch as for GEMM (acts_pack.h).
//
// With SDOT by lane an int32 vector holds 4 rows of a token. With SMMLA (FEW_I8MM) it holds 2 rows of 2 tokens,
// [token][row], so that an instruction does twice as much; the partner of an odd token is zero.
#ifndef Q4_ARM_FEW_H
#define Q4_ARM_FEW_H

#include "acts_pack.h"

#include <arm_neon.h>
#include <string.h>

#ifdef FEW_I8MM
#define DECODE_PAIRS // quads come as two rows x 8 columns
#endif

#define FEW_TOKENS 4
#define FEW_INLINE static inline __attribute__((always_inline))
// Loops over registers must vanish.
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define UNROLLED(I, N) UNROLL for (size_t I = 0; I < (N); I++)

// EACH_WIDTH: PART(…, n, width), compiled for every width that n tokens may need
#ifdef FEW_I8MM
#define FEW_TILE PAIRS8_TOKENS
#define SUMS(WIDTH) (((WIDTH) + 1) / 2 * 2) // vectors that a group of 4 rows has
#define EACH_WIDTH(PART, TASK, PANEL, ROW, TOKEN, N)                                                                   \
    if ((N) <= 2)                                                                                                      \
        PART(TASK, PANEL, ROW, TOKEN, N, 2);                                                                           \
    else                                                                                                               \
        PART(TASK, PANEL, ROW, TOKEN, N, 4)
#else
#define FEW_TILE QUAD4_TOKENS
#define SUMS(WIDTH) (WIDTH)
#define EACH_WIDTH(PART, TASK, PANEL, ROW, TOKEN, N)                                                                   \
    if ((N) <= 2)                                                                                                      \
        PART(TASK, PANEL, ROW, TOKEN, N, 2);                                                                           \
    else if ((N) == 3)                                                                                                 \
        PART(TASK, PANEL, ROW, TOKEN, N, 3);                                                                           \
    else                                                                                                               \
        PART(TASK, PANEL, ROW, TOKEN, N, 4)
#endif

static inline size_t few_scratch(const struct q4_act_packing *packing, size_t k) {
    return (Q4_FEW_TOKENS + FEW_TILE - 1) / FEW_TILE * packing->bytes(k);
}

static inline void few_pack(const struct q4_act_packing *packing, const struct q4_task *task) {
    uint8_t *out = task->scratch;
    for (size_t t = 0; t < task->n_tokens; t += FEW_TILE, out += packing->bytes(task->k))
        packing->pack(out, task->acts, task->token0 + t, q4_min_size(FEW_TILE, task->n_tokens - t));
}

// Where the activations of four tokens start.
static inline const uint8_t *few_acts(const struct q4_act_packing *packing, const struct q4_task *task, size_t token) {
    return task->scratch + token / FEW_TILE * packing->bytes(task->k) + token % FEW_TILE / 2 * 16;
}

// Four rows' results to y, of which `rows` are there.
FEW_INLINE void store_group(float *y, size_t rows, float32x4_t v) {
    if (rows >= 4) {
        vst1q_f32(y, v);
    } else {
        float part[4];
        vst1q_f32(part, v);
        memcpy(y, part, rows * sizeof *y);
    }
}

// Token t of a group's accumulators
FEW_INLINE float32x4_t rows_of(const float32x4_t acc[], size_t t) {
#ifdef FEW_I8MM
    float64x2_t a = vreinterpretq_f64_f32(acc[t / 2 * 2]), b = vreinterpretq_f64_f32(acc[t / 2 * 2 + 1]);
    return vreinterpretq_f32_f64(t % 2 ? vzip2q_f64(a, b) : vzip1q_f64(a, b));
#else
    return acc[t];
#endif
}

// A group's accumulators of n <= width tokens, to y
FEW_INLINE void store_sums(float *y, size_t stride, size_t rows, const float32x4_t acc[], size_t n, size_t width) {
    UNROLLED (t, width)
        if (t < n)
            store_group(y + t * stride, rows, rows_of(acc, t));
}

// Accumulators of `groups` groups of 4 rows, [group][SUMS(width)], to y, where `rows` rows are left and n <= width
// tokens.
FEW_INLINE void store_groups(float *y, size_t stride, size_t rows, const float32x4_t acc[], size_t groups, size_t n,
                             size_t width) {
    if (rows >= 4 * groups && n == width) {
        for (size_t g = 0; g < groups; g++)
            UNROLLED (t, width)
                vst1q_f32(y + t * stride + 4 * g, rows_of(acc + g * SUMS(width), t));
        return;
    }
    for (size_t g = 0; g < groups && 4 * g < rows; g++)
        store_sums(y + 4 * g, stride, rows - 4 * g, acc + g * SUMS(width), n, width);
}

#ifndef FEW_I8MM
// Lanes are constants for some compilers before loops are unrolled.
#define OF_LANE(LANE, CALL) ((LANE) == 0 ? CALL(0) : (LANE) == 1 ? CALL(1) : (LANE) == 2 ? CALL(2) : CALL(3))

FEW_INLINE float32x4_t multiply_by_lane(float32x4_t v, float32x4_t of, size_t lane) {
#define MULTIPLY(LANE) vmulq_laneq_f32(v, of, LANE)
    return OF_LANE(lane, MULTIPLY);
#undef MULTIPLY
}

FEW_INLINE int32x4_t add_products_of_lane(int32x4_t sum, int8x16_t v, int8x16_t of, size_t lane) {
#define ADD_PRODUCTS(LANE) vdotq_laneq_s32(sum, v, of, LANE)
    return OF_LANE(lane, ADD_PRODUCTS);
#undef ADD_PRODUCTS
}
#endif

// What 4 rows have, times what n tokens have (`acts`, as packed): by vectors of sums
FEW_INLINE void group_factors(float32x4_t out[], float32x4_t rows, const uint8_t *acts, size_t n) {
#ifdef FEW_I8MM
    float32x2_t first = vget_low_f32(rows), last = vget_high_f32(rows);
    float32x4_t both[2] = {vcombine_f32(first, first), vcombine_f32(last, last)};
    UNROLLED (i, SUMS(n))
        out[i] = vmulq_f32(both[i % 2], vld1q_f32((const float *)(acts + i / 2 * 16)));
#else
    float32x4_t d = vld1q_f32((const float *)acts);
    UNROLLED (t, n)
        out[t] = multiply_by_lane(rows, d, t);
#endif
}

// Adds products of column quads, as decoded. x: the packed activations of a block's columns,
// from one 8 (SMMLA) or 16 (SDOT) columns to the next 64 bytes.
FEW_INLINE void group_products(int32x4_t sum[], uint8x16_t v[], const int8x16_t x[][FEW_TOKENS], size_t quads,
                               size_t n) {
#ifdef FEW_I8MM
    UNROLLED (i, quads / 2)
        UNROLLED (s, SUMS(n))
            sum[s] = vmmlaq_s32(sum[s], x[i][s / 2], vreinterpretq_s8_u8(v[2 * i + s % 2]));
#else
    UNROLLED (i, quads)
        UNROLLED (t, n)
            sum[t] = add_products_of_lane(sum[t], vreinterpretq_s8_u8(v[i]), x[i / 4][t], i % 4);
#endif
}

FEW_INLINE void load_acts(int8x16_t x[][FEW_TOKENS], const uint8_t *acts, size_t quads, size_t n) {
#ifdef FEW_I8MM
    UNROLLED (i, quads / 2)
        UNROLLED (p, SUMS(n) / 2)
            x[i][p] = vld1q_s8((const int8_t *)acts + 64 * i + 16 * p);
#else
    UNROLLED (i, quads / 4)
        UNROLLED (t, n)
            x[i][t] = vld1q_s8((const int8_t *)acts + 64 * i + 16 * t);
#endif
}

#endif
