// Two column quads, each of 4 rows, as rows 0 and 1 x 8 columns and rows 2 and 3: the operands of SMMLA.
#ifndef Q4_ARM_ZIP_H
#define Q4_ARM_ZIP_H

#include <arm_neon.h>

static inline void q4_zip_quads(uint8x16_t *a, uint8x16_t *b) {
    uint32x4_t x = vreinterpretq_u32_u8(*a), y = vreinterpretq_u32_u8(*b);
    *a = vreinterpretq_u8_u32(vzip1q_u32(x, y));
    *b = vreinterpretq_u8_u32(vzip2q_u32(x, y));
}

// Of n quads, where DECODE_PAIRS asks for it; bytes of a quad of nibbles are of two quads, and can be zipped before
// they are unpacked.
#ifdef DECODE_PAIRS
#define ZIP_QUADS(V, N)                                                                                                \
    for (size_t zipped = 0; zipped < (N); zipped += 2)                                                                 \
    q4_zip_quads(&(V)[zipped], &(V)[zipped + 1])
#else
#define ZIP_QUADS(V, N)
#endif

#endif
