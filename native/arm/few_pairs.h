// Activations of a few tokens for SMMLA in assembly, packed in the scratch: one, two or four token pairs. A block is
//   int8 q[chunks of 8 columns][token pairs][2 tokens x 8 columns]: chunks 0, 2, 1 and 3 of a block of 32 columns,
//   since a byte of weights holds columns of two of them; scales [token pairs][d0, d0, d1, d1] as fp32, with FEW_FHM
//   twice the same as fp16.
// The partner of an odd token is zero.
#ifndef Q4_ARM_FEW_PAIRS_H
#define Q4_ARM_FEW_PAIRS_H

#include "few.h"

#define PAIR_BYTES(BLOCK) (2 * (BLOCK) + 16) // of a block of so many columns

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

// The pair's tokens' 16 columns, chunks `apart` bytes apart
FEW_INLINE void pack_chunks(uint8_t *out, int8x16_t q0, int8x16_t q1, size_t apart) {
    int64x2_t first = vreinterpretq_s64_s8(q0), second = vreinterpretq_s64_s8(q1);
    vst1q_s64((int64_t *)out, vzip1q_s64(first, second));
    vst1q_s64((int64_t *)(out + apart), vzip2q_s64(first, second));
}

// out: where the pair's first columns go. `second`: whether it has two tokens
FEW_INLINE void pack_pair(uint8_t *out, const struct q4_task *task, size_t token, bool second, size_t pairs,
                          size_t block) {
    size_t k = task->k, n_blocks = k / block, chunk = 16 * pairs;
    size_t next = block == Q4_BLOCK ? chunk : 2 * chunk, apart = block == Q4_BLOCK ? 2 * chunk : chunk;
    const int8_t *q = task->acts->q + (task->token0 + token) * k;
    const float *d = task->acts->d + (task->token0 + token) * n_blocks;
    for (size_t b = 0; b < n_blocks; b++, out += pairs * 16) {
        for (size_t i = 0; i < block; i += 32, q += 32, out += 4 * chunk) {
            int8x16x2_t q0 = vld1q_s8_x2(q), q1 = {{vdupq_n_s8(0), vdupq_n_s8(0)}};
            if (second)
                q1 = vld1q_s8_x2(q + k);
            pack_chunks(out, q0.val[0], q1.val[0], apart);
            pack_chunks(out + next, q0.val[1], q1.val[1], apart);
        }
        vst1q_u8(out, pair_scales(d[b], second ? d[n_blocks + b] : 0.0f));
    }
}

// All tokens of the task; pairs that are not there are the first once more.
FEW_INLINE void pack_pairs(const struct q4_task *task, size_t pairs, size_t block) {
    UNROLLED (p, pairs) {
        size_t token = 2 * p < task->n_tokens ? 2 * p : 0;
        if (token + 1 < task->n_tokens)
            pack_pair(task->scratch + 16 * p, task, token, true, pairs, block);
        else
            pack_pair(task->scratch + 16 * p, task, token, false, pairs, block);
    }
}

static inline size_t pairs_scratch(size_t k, size_t block) { return k / block * Q4_FEW_TOKENS / 2 * PAIR_BYTES(block); }

#endif
