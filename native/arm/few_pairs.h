// Activations of a few tokens for SMMLA in assembly, packed in the scratch: one, two or four token pairs. A block is
//   int8 q[chunks of 8 columns][token pairs][2 tokens x 8 columns]: where weights are nibbles chunks 0, 2, 1 and 3 of
//   32 columns, since a byte of weights holds columns of two of them; scales [token pairs][d0, d0, d1, d1] as fp32,
//   with FEW_FHM twice the same as fp16; for minima sums of q over 32 columns [2 parts][token pairs][2 tokens x 8
//   sub-blocks] (k16.h has the parts).
#ifndef Q4_ARM_FEW_PAIRS_H
#define Q4_ARM_FEW_PAIRS_H

#include "few.h"

#include "k16.h"

#define PAIR_BYTES(BLOCK) (2 * (BLOCK) + 16) // of a block of so many columns
#define PAIR_SUMS_BYTES (2 * 16)

typedef void pack_pieces(uint8_t *out, const int8_t *const q[], size_t column, size_t pieces, size_t step);
pack_pieces q4_pack_pairs1_nibbles, q4_pack_pairs2_nibbles, q4_pack_pairs4_nibbles;
pack_pieces q4_pack_pairs1, q4_pack_pairs2, q4_pack_pairs4;
typedef void pack_halves(uint8_t *out, const float *const d[], size_t fours);
pack_halves q4_pack_scales1_halves, q4_pack_scales2_halves, q4_pack_scales4_halves;

#ifndef FEW_FHM
// A token pair's scales of four blocks, `apart` bytes apart
FEW_INLINE void pack_four_scales(uint8_t *out, float32x4_t first, float32x4_t second, size_t apart) {
    UNROLLED (i, 2) {
        float64x2_t f = vreinterpretq_f64_f32(i ? vzip2q_f32(first, first) : vzip1q_f32(first, first));
        float64x2_t s = vreinterpretq_f64_f32(i ? vzip2q_f32(second, second) : vzip1q_f32(second, second));
        vst1q_f64((double *)(out + 2 * i * apart), vzip1q_f64(f, s));
        vst1q_f64((double *)(out + (2 * i + 1) * apart), vzip2q_f64(f, s));
    }
}
#endif

FEW_INLINE uint8x16_t pair_scales(float d0, float d1) {
    float32x4_t scales = {d0, d1};
#ifdef FEW_FHM
    float16x4_t half = vcvt_f16_f32(scales);
    half = vzip1_f16(half, half);
    return vreinterpretq_u8_f16(vcombine_f16(half, half));
#else
    return vreinterpretq_u8_f32(vzip1q_f32(scales, scales));
#endif
}

FEW_INLINE void pack_scales(uint8_t *out, const float *const d[], size_t n_blocks, size_t pairs, size_t apart) {
    size_t b = n_blocks / 4 * 4;
#ifdef FEW_FHM
    (pairs == 1 ? q4_pack_scales1_halves : pairs == 2 ? q4_pack_scales2_halves : q4_pack_scales4_halves)(out, d, b / 4);
#else
    for (size_t i = 0; i < b; i += 4)
        UNROLLED (p, pairs)
            pack_four_scales(out + i * apart + 16 * p, vld1q_f32(d[2 * p] + i), vld1q_f32(d[2 * p + 1] + i), apart);
#endif
    out += b * apart;
    for (; b < n_blocks; b++, out += apart)
        UNROLLED (p, pairs)
            vst1q_u8(out + 16 * p, pair_scales(d[2 * p][b], d[2 * p + 1][b]));
}

// Sums over the sub-blocks of super-blocks, `apart` bytes apart
FEW_INLINE void pack_sums(uint8_t *out, const int8_t *const q[], size_t n_blocks, size_t pairs, size_t apart) {
    for (size_t i = 0; i < 2 * pairs; i++)
        for (size_t b = 0; b < n_blocks; b++) {
            int8_t parts[K16_SUM_BYTES(32)];
            uint8_t *to = out + b * apart + 8 * i;
            q4_k16_sums(parts, q[i] + b * Q4_SUPER, 1, 32);
            memcpy(to, parts, 8);
            memcpy(to + 16 * pairs, parts + 8, 8);
        }
}

// All tokens of the task; in the place of those that are not there is the first once more.
FEW_INLINE void pack_pairs(const struct q4_task *task, size_t pairs, size_t block, bool sums, pack_pieces *pack) {
    size_t k = task->k, n_blocks = k / block, scales = 2 * pairs * block;
    size_t apart = pairs * (PAIR_BYTES(block) + (sums ? PAIR_SUMS_BYTES : 0));
    const int8_t *q[Q4_FEW_TOKENS];
    const float *d[Q4_FEW_TOKENS];
    UNROLLED (i, 2 * pairs) {
        size_t token = task->token0 + (i < task->n_tokens ? i : 0);
        q[i] = task->acts->q + token * k;
        d[i] = task->acts->d + token * n_blocks;
    }
    pack_scales(task->scratch + scales, d, n_blocks, pairs, apart);
    if (sums)
        pack_sums(task->scratch + scales + 16 * pairs, q, n_blocks, pairs, apart);
    if (block == Q4_BLOCK)
        pack(task->scratch, q, 0, n_blocks, apart);
    else
        for (size_t b = 0; b < n_blocks; b++)
            pack(task->scratch + b * apart, q, b * block, block / 32, 64 * pairs);
}

static inline size_t pairs_scratch(size_t k, size_t block, bool sums) {
    return k / block * Q4_FEW_TOKENS / 2 * (PAIR_BYTES(block) + (sums ? PAIR_SUMS_BYTES : 0));
}

#endif
