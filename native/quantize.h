// Quantisation of fp32 rows to GGUF's formats. Portable C under the arithmetic contract: every operation is IEEE and in
// one written order, so that a file has the same bytes on every machine.
#ifndef Q4_QUANTIZE_H
#define Q4_QUANTIZE_H

#include "q4.h"

enum q4_quantize_method {
    Q4_QUANTIZE_REFERENCE, // Q4_0, Q4_1, Q8_0: the bytes of the gguf package; Q6_K has no such method and searches
    Q4_QUANTIZE_SEARCH, // the scale, of a grid with least-squares refit, that has the smallest squared error per block
};

// Whether rows can be quantised to this type: Q4_0, Q4_1, Q8_0, Q6_K, F16.
bool q4_quantize_supports(int type);

// Quantises rows x columns floats at x to `type` at out (contiguous rows). Columns must be a multiple of the type's
// block, and out as large as rows of that type are; the caller checks both.
// Returns `rows`, or the index of the first row with a value that is not finite or that the type cannot hold (a scale
// or value beyond fp16's 65504); rows from there on are then not written.
size_t q4_quantize_rows(int type, enum q4_quantize_method method, const float *x, size_t rows, size_t columns,
                        void *out);

// The searches (quantize_search.c). `x` is one block whose values are finite. The block is written whole.
// False where a scale is beyond fp16.
bool q4_search_q4_0(const float *x, q4_block_q4_0 *out);
bool q4_search_q4_1(const float *x, q4_block_q4_1 *out);
bool q4_search_q8_0(const float *x, q4_block_q8_0 *out);
bool q4_search_q6_k(const float *x, q4_block_q6_k *out);

static inline bool q4_half_is_finite(uint16_t h) { return (h & 0x7c00u) != 0x7c00u; }

// One byte of two 4-bit weights for each pair (i, i + 16).
static inline void q4_pack_nibbles(const uint8_t q[Q4_BLOCK], uint8_t out[Q4_BLOCK / 2]) {
    for (int i = 0; i < Q4_BLOCK / 2; i++)
        out[i] = (uint8_t)(q[i] | q[i + Q4_BLOCK / 2] << 4);
}

#endif
