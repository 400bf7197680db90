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

// A pair's scales of all blocks, `apart` bytes apart; d1: NULL where it has one token. Four blocks at a time: on few
// rows packing shows.
FEW_INLINE void pack_scales(uint8_t *out, const float *d0, const float *d1, size_t n_blocks, size_t apart) {
    size_t b = 0;
    for (; b + 4 <= n_blocks; b += 4, out += 4 * apart) {
        float32x4_t first = vld1q_f32(d0 + b), second = d1 ? vld1q_f32(d1 + b) : vdupq_n_f32(0.0f);
#ifdef FEW_FHM
        float16x8_t halves = vcvt_high_f16_f32(vcvt_f16_f32(first), second);
        uint32x4_t twice0 = vreinterpretq_u32_f16(vzip1q_f16(halves, halves));
        uint32x4_t twice1 = vreinterpretq_u32_f16(vzip2q_f16(halves, halves));
        uint64x2_t of_block[2] = {vreinterpretq_u64_u32(vzip1q_u32(twice0, twice1)),
                                  vreinterpretq_u64_u32(vzip2q_u32(twice0, twice1))};
        UNROLLED (i, 4) {
            uint64x2_t both = i % 2 ? vdupq_laneq_u64(of_block[i / 2], 1) : vdupq_laneq_u64(of_block[i / 2], 0);
            vst1q_u64((uint64_t *)(out + i * apart), both);
        }
#else
        float64x2_t first_of[2] = {vreinterpretq_f64_f32(vzip1q_f32(first, first)),
                                   vreinterpretq_f64_f32(vzip2q_f32(first, first))};
        float64x2_t second_of[2] = {vreinterpretq_f64_f32(vzip1q_f32(second, second)),
                                    vreinterpretq_f64_f32(vzip2q_f32(second, second))};
        UNROLLED (i, 4) {
            float64x2_t f = first_of[i / 2], s = second_of[i / 2];
            vst1q_f64((double *)(out + i * apart), i % 2 ? vzip2q_f64(f, s) : vzip1q_f64(f, s));
        }
#endif
    }
    for (; b < n_blocks; b++, out += apart)
        vst1q_u8(out, pair_scales(d0[b], d1 ? d1[b] : 0.0f));
}

FEW_INLINE uint64_t load_chunk(const int8_t *q) {
    uint64_t chunk;
    memcpy(&chunk, q, 8);
    return chunk;
}

FEW_INLINE void store_chunks(uint8_t *out, uint64_t first, uint64_t second) {
    memcpy(out, &first, 8);
    memcpy(out + 8, &second, 8);
}

// The pair's tokens' 16 columns, by integer registers: vector pipes have enough to do. Chunks are `apart` bytes apart.
FEW_INLINE void pack_chunks(uint8_t *out, const int8_t *q0, const int8_t *q1, size_t apart) {
    uint64_t a = load_chunk(q0), b = load_chunk(q0 + 8);
    uint64_t c = q1 ? load_chunk(q1) : 0, d = q1 ? load_chunk(q1 + 8) : 0;
    store_chunks(out, a, c);
    store_chunks(out + apart, b, d);
}

// out: where the pair's first columns go. `second`: whether it has two tokens
FEW_INLINE void pack_pair(uint8_t *out, const struct q4_task *task, size_t token, bool second, size_t pairs,
                          size_t block) {
    size_t k = task->k, n_blocks = k / block, chunk = 16 * pairs;
    size_t next = block == Q4_BLOCK ? chunk : 2 * chunk, apart = block == Q4_BLOCK ? 2 * chunk : chunk;
    const int8_t *q = task->acts->q + (task->token0 + token) * k;
    const float *d = task->acts->d + (task->token0 + token) * n_blocks;
    pack_scales(out + block / 8 * chunk, d, second ? d + n_blocks : NULL, n_blocks, pairs * PAIR_BYTES(block));
    for (size_t b = 0; b < n_blocks; b++, out += pairs * 16)
        for (size_t i = 0; i < block; i += 32, q += 32, out += 4 * chunk) {
            pack_chunks(out, q, second ? q + k : NULL, apart);
            pack_chunks(out + next, q + 16, second ? q + k + 16 : NULL, apart);
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
