// GGUF's tensor types: one file of this folder each, and one line of the list. Each file is compiled once a variant, as
// those of native/ops are; `q4_ops.types` is the list of one variant.
#ifndef Q4_TYPES_H
#define Q4_TYPES_H

#include "../acts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The list: GGUF's name, the file's, GGUF's number.
#define Q4_TYPES(X)                                                                                                    \
    X(F32, f32, 0)                                                                                                     \
    X(F16, f16, 1)                                                                                                     \
    X(Q4_0, q4_0, 2)                                                                                                   \
    X(Q4_1, q4_1, 3)                                                                                                   \
    X(Q5_0, q5_0, 6)                                                                                                   \
    X(Q5_1, q5_1, 7)                                                                                                   \
    X(Q8_0, q8_0, 8)                                                                                                   \
    X(Q2_K, q2_k, 10)                                                                                                  \
    X(Q3_K, q3_k, 11)                                                                                                  \
    X(Q4_K, q4_k, 12)                                                                                                  \
    X(Q5_K, q5_k, 13)                                                                                                  \
    X(Q6_K, q6_k, 14)                                                                                                  \
    X(IQ4_NL, iq4_nl, 20)                                                                                              \
    X(IQ4_XS, iq4_xs, 23)                                                                                              \
    X(BF16, bf16, 30)

#define Q4_TYPE_NUMBER(NAME, FILE, NUMBER) Q4_TYPE_##NAME = NUMBER,
enum q4_type_number { Q4_TYPES(Q4_TYPE_NUMBER) };
#undef Q4_TYPE_NUMBER

// ---- GGUF's blocks, byte for byte. fp16 values are kept as their bits ---------------------------
#define Q4_BLOCK 32  // columns in a block of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL and of 8-bit activations
#define Q4_SUPER 256 // columns in a super-block of the K types and IQ4_XS, and of their activations

typedef struct {
    uint16_t d;               // scale
    uint8_t qs[Q4_BLOCK / 2]; // byte i: column i in the low nibble, column i + 16 in the high one; value - 8
} q4_block_q4_0;

typedef struct {
    uint16_t d, m; // w = d * q + m
    uint8_t qs[Q4_BLOCK / 2];
} q4_block_q4_1;

typedef struct {
    uint16_t d;
    uint8_t qh[Q4_BLOCK / 8]; // a plane of fifth bits, column 0 the lowest
    uint8_t qs[Q4_BLOCK / 2]; // as Q4_0 has them; value - 16
} q4_block_q5_0;

typedef struct {
    uint16_t d, m; // w = d * q + m
    uint8_t qh[Q4_BLOCK / 8];
    uint8_t qs[Q4_BLOCK / 2];
} q4_block_q5_1;

typedef struct {
    uint16_t d;
    int8_t qs[Q4_BLOCK];
} q4_block_q8_0;

typedef struct {
    uint16_t d;
    uint8_t qs[Q4_BLOCK / 2]; // as Q4_0 has them; w = d * value[q]
} q4_block_iq4_nl;

// w = d * scale * q - dmin * minimum; the files of the types say how bits lie.
typedef struct {
    uint8_t scales[Q4_SUPER / 16]; // one a sub-block of 16 columns, the minimum in the high nibble
    uint8_t qs[Q4_SUPER / 4];
    uint16_t d, dmin;
} q4_block_q2_k;

typedef struct {
    uint8_t hmask[Q4_SUPER / 8]; // third bits
    uint8_t qs[Q4_SUPER / 4];    // low 2 bits
    uint8_t scales[12];          // 6 bits a sub-block of 16 columns; scale - 32
    uint16_t d;                  // w = d * scale * (q - 4)
} q4_block_q3_k;

typedef struct {
    uint16_t d, dmin;
    uint8_t scales[12]; // 6-bit scales and minima of sub-blocks of 32 columns (super.h)
    uint8_t qs[Q4_SUPER / 2];
} q4_block_q4_k;

typedef struct {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qh[Q4_SUPER / 8]; // fifth bits
    uint8_t qs[Q4_SUPER / 2];
} q4_block_q5_k;

typedef struct {
    uint8_t ql[Q4_SUPER / 2];     // low 4 bits
    uint8_t qh[Q4_SUPER / 4];     // high 2 bits
    int8_t scales[Q4_SUPER / 16]; // one a sub-block of 16 columns
    uint16_t d;                   // super-scale; w = d * scale * (q - 32)
} q4_block_q6_k;

typedef struct {
    uint16_t d;
    uint16_t scales_h; // 2 upper and 4 lower bits a sub-block of 32 columns; scale - 32
    uint8_t scales_l[Q4_SUPER / 64];
    uint8_t qs[Q4_SUPER / 2]; // w = d * scale * value[q]
} q4_block_iq4_xs;

_Static_assert(sizeof(q4_block_q4_0) == 18, "Q4_0 block");
_Static_assert(sizeof(q4_block_q4_1) == 20, "Q4_1 block");
_Static_assert(sizeof(q4_block_q5_0) == 22, "Q5_0 block");
_Static_assert(sizeof(q4_block_q5_1) == 24, "Q5_1 block");
_Static_assert(sizeof(q4_block_iq4_nl) == 18, "IQ4_NL block");
_Static_assert(sizeof(q4_block_q8_0) == 34, "Q8_0 block");
_Static_assert(sizeof(q4_block_q2_k) == 84, "Q2_K super-block");
_Static_assert(sizeof(q4_block_q3_k) == 110, "Q3_K super-block");
_Static_assert(sizeof(q4_block_q4_k) == 144, "Q4_K super-block");
_Static_assert(sizeof(q4_block_q5_k) == 176, "Q5_K super-block");
_Static_assert(sizeof(q4_block_q6_k) == 210, "Q6_K super-block");
_Static_assert(sizeof(q4_block_iq4_xs) == 136, "IQ4_XS super-block");

// ---- what a type is -----------------------------------------------------------------------------
struct q4_kernel;

enum q4_quantize_method {
    Q4_QUANTIZE_SEARCH, // the scale, of a grid with least-squares refit, that has the smallest squared error per block
    Q4_QUANTIZE_REFERENCE // the bytes of the gguf package, where it has a method of its own, else as above
};

struct q4_type {
    int number;
    const char *name;
    size_t columns, bytes; // of a block
    enum q4_act_form acts; // the form of the activations that its rows are multiplied with
    // whether all scales (of floats: all values) of a row of so many blocks are finite
    bool (*finite)(const void *row, size_t blocks);
    // n weights, whole blocks, to fp32
    void (*dequantize)(float *y, const void *row, size_t n);
    // the product as it is written down, for any number of tokens
    const struct q4_kernel *kernel;
    // Writes one block, of values that are finite; false where a scale or value is beyond fp16. `importance` says how
    // much an error in each column counts, > 0 and at most 1; NULL: all alike. NULL: rows are not quantised to it.
    bool (*search)(const float *x, const float *importance, void *block);
    // Likewise, with the bytes of the gguf package; NULL where it has no method of its own.
    bool (*reference)(const float *x, void *block);
};

extern const struct q4_type *const q4_types_base[]; // ends with NULL, as each variant's list does

// The type with GGUF's number; NULL where the list has none.
static inline const struct q4_type *q4_find_type(const struct q4_type *const *types, int number) {
    while (*types && (*types)->number != number)
        types++;
    return *types;
}

static inline size_t q4_row_bytes(const struct q4_type *type, size_t k) { return k / type->columns * type->bytes; }

#endif
