// A loaded model: packed weights, and the plan. Immutable once built (build.h), shared by any number of sessions.
#ifndef Q4_MODEL_H
#define Q4_MODEL_H

#include "interrupt.h"
#include "plan.h"

#define Q4_MAX_ROWS (Q4_MAX_UNITS * 8) // a unit of a matrix product takes no fewer than 8 rows

// A weight matrix [rows, k], packed. Several GGUF tensors with the same type and columns may have become one (Q, K and
// V; gate and up): fewer barriers, longer streams. Of experts it is one matrix after the other, each in panels of its
// own.
struct q4_weight {
    char name[Q4_NAME_SIZE];
    const struct q4_type *type; // of the model's variant
    size_t rows, k, bytes;      // rows of each matrix, bytes of all
    size_t experts, matrices;   // 0 and 1, or of each expert as many as there are tensors, expert by expert
    struct q4_kernel_pair kernels;
    uint8_t *data; // in the model's arena
};

struct q4_source { // rows of a GGUF tensor, in the mapped file
    const uint8_t *data;
    size_t rows, bytes;
};

struct q4_sources { // the tensors of one weight, one below the other
    const struct q4_source *list;
    size_t n;
};

struct q4_vector { // norm weights, biases
    float *data;
    size_t n;
};

struct q4_table { // an embedding: rows are read where the file is mapped, a few a call
    const uint8_t *data;
    const struct q4_type *type;
    size_t rows, columns, row_bytes;
};

struct q4_rope_table { // angle per position of each pair
    size_t dim;
    double *frequency;     // [dim / 2]
    double *far_frequency; // instead, in contexts of more than far_from positions
    size_t far_from;
    double magnitude; // of cosines and sines
};

struct q4_kv_shape { // of a layer's part of the KV cache; no heads: it has none
    size_t heads, head_dim;
};

struct q4_model {
    uint32_t features;
    size_t few_tokens;             // calls of at most so many are the GEMV kernels'
    int few_threads, many_threads; // that walk calls of few tokens, and of more
    const struct q4_ops *ops;
    q4_team *team;
    struct q4_weight *weights;
    struct q4_vector *vectors;
    struct q4_table *tables;
    struct q4_rope_table *rope_tables;
    struct q4_buffer *buffers;
    struct q4_op *plan;
    enum q4_kv_form kv_form;
    struct q4_kv_shape *kv_shapes; // [n_layers]
    size_t n_weights, n_vectors, n_tables, n_rope_tables, n_buffers, n_ops, n_layers, n_tallies;
    uint8_t *arena;
    size_t arena_bytes;
};

// All functions return false with a message for the user in `error` [Q4_ERROR_SIZE].

// Fills kernels, sizes and positions of weights (name, type, rows and k are set) and allocates the arena in their
// order.
bool q4_model_place_weights(struct q4_model *model, char *error);
// From how many tokens on a call has the threads of many: it multiplies longer than it reads, whatever kernels it
// takes.
static inline size_t q4_batch_tokens(const struct q4_model *model) {
    return q4_min_size(model->few_tokens, Q4_FEW_TOKENS) + 1;
}
// How many threads walk a call.
static inline int q4_model_threads(const struct q4_model *model, size_t n_tokens) {
    return n_tokens < q4_batch_tokens(model) ? model->few_threads : model->many_threads;
}

// Panels of one matrix of a weight that is placed.
static inline size_t q4_panels(const struct q4_weight *w) {
    size_t rows = w->kernels.gemv->layout->rows;
    return (w->rows + rows - 1) / rows;
}
static inline const uint8_t *q4_matrix(const struct q4_weight *w, size_t i) {
    return w->data + i * q4_panels(w) * q4_panel_bytes(w->kernels.gemv->layout, w->k);
}
// Checks that all weights are finite and packs them, on all threads (pack.c). sources: one entry a weight, rows adding
// up to the weight's. release: the sources are a mapped file, whose pages are given back once they were read.
bool q4_model_pack(struct q4_model *model, const struct q4_sources *sources, bool release,
                   struct q4_interrupt *interrupt, char *error);
void q4_model_clear(struct q4_model *model);

#endif
