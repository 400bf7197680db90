// Types that every part of the native core shares. No architecture-specific code here.
#ifndef Q4_H
#define Q4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Tensor types, with GGUF's numbers.
enum q4_type {
    Q4_TYPE_F32 = 0,
    Q4_TYPE_F16 = 1,
    Q4_TYPE_Q4_0 = 2,
    Q4_TYPE_Q4_1 = 3,
    Q4_TYPE_Q8_0 = 8,
    Q4_TYPE_Q6_K = 14,
    Q4_TYPE_BF16 = 30,
};

// GGUF's block formats, byte for byte. fp16 values are kept as their bits.
#define Q4_BLOCK 32  // columns in a block of Q4_0, Q4_1, Q8_0 and of 8-bit activations
#define Q4_SUPER 256 // columns in a super-block of Q6_K and of its activations

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
    int8_t qs[Q4_BLOCK];
} q4_block_q8_0;

typedef struct {
    uint8_t ql[Q4_SUPER / 2];     // low 4 bits
    uint8_t qh[Q4_SUPER / 4];     // high 2 bits
    int8_t scales[Q4_SUPER / 16]; // one a sub-block of 16 columns
    uint16_t d;                   // super-scale; w = d * scale * (q - 32)
} q4_block_q6_k;

_Static_assert(sizeof(q4_block_q4_0) == 18, "Q4_0 block");
_Static_assert(sizeof(q4_block_q4_1) == 20, "Q4_1 block");
_Static_assert(sizeof(q4_block_q8_0) == 34, "Q8_0 block");
_Static_assert(sizeof(q4_block_q6_k) == 210, "Q6_K super-block");

// Columns and bytes of one block; false for a type that the engine does not compute with.
bool q4_type_block(int type, size_t *columns, size_t *bytes);
const char *q4_type_name(int type);

// a * b in *out; false on overflow.
static inline bool q4_mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline size_t q4_round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }
static inline size_t q4_common_multiple(size_t a, size_t b) { // the least, of sizes of at least 1
    size_t x = a, y = b;
    while (y) {
        size_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

static inline size_t q4_min_size(size_t a, size_t b) { return a < b ? a : b; }

// Zeroed memory, page-aligned, that costs nothing until it is touched. NULL where there is none. The caller keeps the
// size.
enum q4_pages {
    Q4_PAGES_HUGE,  // streamed as a whole: huge pages where the system grants them
    Q4_PAGES_SMALL, // touched here and there: only the pages that are used become resident
};
void *q4_alloc(size_t bytes, enum q4_pages pages);
void q4_free(void *p, size_t bytes);

#endif
