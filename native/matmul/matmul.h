// Matrix products y = W x: packed weight layouts, kernels, and the choice between them.
//
// A *layout* says how the rows of a GGUF tensor of one type are stored for kernels to stream: `rows` rows make a panel,
// panels follow each other, and a panel is a sequence of column blocks in column order. A *kernel* multiplies panels of
// one layout with activations. GEMV (a few tokens, mostly one) and GEMM (many) kernels of one CPU share a layout, so
// one packed copy of the weights serves both. All kernels of a type give the same bits (docs/arithmetic.md).
#ifndef Q4_MATMUL_H
#define Q4_MATMUL_H

#include "../ops/ops.h"
#include "../q4.h"
#include "../types/types.h"

#define Q4_MAX_PANEL_ROWS 32
// GEMV kernels take so many tokens at most: as many as meet a panel while it is in cache, and sooner than GEMM kernels
// would have decoded it. (AVX-512 has more.)
#define Q4_FEW_TOKENS 8

struct q4_layout {
    const char *name;
    int type;             // enum q4_type_number
    size_t rows;          // rows a panel
    size_t block_columns; // columns a block: 1 (floats), 32 or 256
    size_t block_bytes;   // bytes of one block of one panel (all its rows)
    // Packs n_rows <= rows GGUF rows of k columns, row_bytes apart, into one panel at dst (zeroed, 64-byte aligned
    // where block_bytes is a multiple of 64). Missing rows stay zero. Weights were checked to be finite before.
    void (*pack)(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k);
};

static inline size_t q4_panel_bytes(const struct q4_layout *layout, size_t k) {
    return k / layout->block_columns * layout->block_bytes;
}

// Activations of a batch, token-major. Only what the weights' form needs is set.
struct q4_acts {
    size_t k;       // columns
    const float *x; // [token][x_stride]
    size_t x_stride;
    const int8_t *q;    // [token][k]
    const float *d;     // [token][k / block]
    const int32_t *sum; // [token][k / block], where the form has sums
    // what a GEMM kernel's `packing` made of q, d and sum: [tile of tokens][bytes], tile 0 starting at token 0
    const uint8_t *packed;
};

// How a GEMM kernel wants activations: groups of `tile` tokens in a form of its own, made once when they are quantised.
struct q4_act_packing {
    const char *name;
    enum q4_act_form form;
    size_t tile;
    size_t (*bytes)(size_t k); // of one tile; a multiple of 64
    size_t block_bytes;        // of a block of columns of it; they follow each other, in column order
    // Packs tokens token0 .. token0 + n - 1 (n <= tile; the rest of the tile is written as zeros) of acts to dst.
    void (*pack)(uint8_t *dst, const struct q4_acts *acts, size_t token0, size_t n);
};

// One kernel call: n_rows rows from a panel boundary on, times n_tokens tokens.
struct q4_task {
    const uint8_t *weights; // first panel
    size_t k;
    size_t n_rows;           // of which the last panel may be incomplete: only these rows are written
    size_t token0, n_tokens; // of acts; y's first row belongs to token0; token0 is a multiple of the packing's tile
    const struct q4_acts *acts;
    float *y; // y[(token - token0) * y_stride + row]
    size_t y_stride;
    uint8_t *scratch; // the kernel's scratch bytes, 64-byte aligned, this thread's own
    const struct q4_ops *ops;
    // for kernels that add:
    const float *bias; // of these rows, or NULL
    bool add;          // y += product (+ bias) instead of y = …
};

struct q4_kernel {
    const char *name;
    const struct q4_layout *layout;
    uint32_t features;                    // all of which the CPU must have
    size_t max_tokens;                    // a task: GEMV, which reads acts unpacked, a few; SIZE_MAX: any number
    bool adds;                            // takes the task's bias and add; otherwise the caller adds
    const struct q4_act_packing *packing; // NULL: reads acts->q, d, sum (or x)
    size_t (*scratch)(size_t k);          // bytes of scratch; NULL: none
    void (*run)(const struct q4_task *task);
    void (*few)(const struct q4_task *task); // in its place for more than one token; NULL: run takes them all
};

static inline void q4_run_kernel(const struct q4_kernel *kernel, const struct q4_task *task) {
    (kernel->few && task->n_tokens > 1 ? kernel->few : kernel->run)(task);
}

// Kernels of this architecture, best first, ending with {0}; the type's portable one follows them in the search.
extern const struct q4_kernel q4_arch_kernels[];
// The best variant of the other operations.
const struct q4_ops *q4_arch_ops(uint32_t features);

// The pair of kernels for weights of a type: gemv for few tokens, gemm for more, both on gemv->layout. The portable one
// twice where the architecture has no such pair.
struct q4_kernel_pair {
    const struct q4_kernel *gemv, *gemm;
};
struct q4_kernel_pair q4_select_kernels(const struct q4_type *type, uint32_t features);

#endif
