// AVX-512 with VNNI: every product of bytes is one instruction.
#ifndef Q4_X86_VEC_AVX512VNNI_H
#define Q4_X86_VEC_AVX512VNNI_H

#include "vec_avx512.h"

static inline vi dot4(vi sum, vi u, vi s) { return _mm512_dpbusd_epi32(sum, u, s); }
static inline vi nibbles_start(int32_t start) { return vi_all(start); }
static inline vi nibbles_dot(vi sum, vi u, vi s) { return dot4(sum, u, s); }
static inline vi nibbles_sum(vi sum, int32_t start) { return (void)start, sum; }
static inline vi bytes_start(int32_t start) { return vi_all(start); }
static inline vi bytes_dot(vi sum, vi w, vi s) { return dot4(sum, w, s); }
// 5-bit weights w are decoded to w + FIVES_OFFSET: as Q8_0's here.
#define BYTES_OFFSET 128 // which bytes_dot leaves in
#define FIVES_OFFSET 128
#include "products_vnni.h"
static inline vi dot2(vi sum, vi a, vi b) { return _mm512_dpwssd_epi32(sum, a, b); }

#endif
