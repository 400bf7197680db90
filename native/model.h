// A loaded model: packed weights, and the plan, which is the list of operations that one decode call walks.
// Immutable once built, shared by any number of sessions.
#ifndef Q4_MODEL_H
#define Q4_MODEL_H

#include "matmul/matmul.h"
#include "ops/ops.h"
#include "threads.h"

#define Q4_NAME_SIZE 96
#define Q4_MAX_LAYERS 65536
#define Q4_MAX_ROWS (Q4_MAX_UNITS * 8) // a unit of a matrix product takes no fewer than 8 rows
#define Q4_NONE (-1)

// A weight matrix [rows, k], packed. Several GGUF tensors with the same type and columns may have become one (Q, K and
// V; gate and up): fewer barriers, longer streams.
struct q4_weight {
    char name[Q4_NAME_SIZE];
    const struct q4_type *type; // of the model's variant
    size_t rows, k, bytes;
    struct q4_kernel_pair kernels;
    uint8_t *data; // in the model's arena
};

struct q4_source { // rows of a GGUF tensor, in the mapped file
    const uint8_t *data;
    size_t rows;
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

// A place for activations: `width` floats a token, and the quantised forms that its readers want.
#define Q4_MAX_PACKINGS 4
struct q4_buffer {
    size_t width;
    bool forms[Q4_ACT_FORMS];
    size_t block; // columns in which they can be written: whole blocks of all of them
    const struct q4_act_packing *packings[Q4_MAX_PACKINGS];
    size_t n_packings;
};

enum q4_op_kind {
    Q4_OP_EMBED,     // out = table[token]
    Q4_OP_RMS_NORM,  // out = norm(in) * vector
    Q4_OP_QUANTIZE,  // the quantised forms of `in`
    Q4_OP_MATMUL,    // out[out_col ..] = or += weight * in (+ vector)
    Q4_OP_ROPE,      // rotates `heads` heads of in, from in_col on
    Q4_OP_KV_STORE,  // in[in_col ..]: keys of all KV heads, then in[out_col ..]: values -> cache of `layer`
    Q4_OP_ATTENTION, // in[in_col ..]: queries -> out
    Q4_OP_SWIGLU,    // in: gate, then up -> out
    Q4_OP_KINDS
};
extern const char *const q4_op_kind_names[Q4_OP_KINDS];

enum q4_op_flags {
    Q4_OP_ADD = 1,  // MATMUL: add to out instead of replacing it
    Q4_OP_LAST = 2, // only for the batch's last token, unless all logits are wanted
};

struct q4_op {
    enum q4_op_kind kind;
    char name[Q4_NAME_SIZE]; // for people: captures, errors
    int layer;               // Q4_NONE outside the layers
    int in, out;             // buffers
    size_t in_col, out_col, heads;
    int weight, vector, table;
    unsigned flags;
    // MATMUL, found when the plan is checked: SWIGLU and QUANTIZE follow, and nothing else reads what they and this
    // operation would store, so a prompt goes through all three at once (execute_matmul.c)
    bool through;
};

// Tokens that go through at once: whole tiles of any packing.
#define Q4_THROUGH_TOKENS 192

struct q4_params {
    size_t n_layers, n_heads, n_kv_heads, head_dim, rope_dim;
    enum q4_rope_style rope_style;
    double rope_base;
    float eps;
};

struct q4_model {
    struct q4_params params;
    uint32_t features;
    const struct q4_ops *ops;
    q4_team *team;
    double *rope_frequency; // [rope_dim / 2]
    struct q4_weight *weights;
    struct q4_vector *vectors;
    struct q4_table *tables;
    struct q4_buffer *buffers;
    struct q4_op *plan;
    size_t n_weights, n_vectors, n_tables, n_buffers, n_ops;
    uint8_t *arena;
    size_t arena_bytes;
};

// All functions return false with a message for the user in `error`.
#define Q4_ERROR_SIZE 512

// Fills kernels, sizes and positions of weights (name, type, rows and k are set) and allocates the arena in their
// order.
bool q4_model_place_weights(struct q4_model *model, char *error);
// Checks that all weights are finite and packs them, on all threads (pack.c). sources: one entry a weight, rows adding
// up to the weight's. release: the sources are a mapped file, whose pages are given back once they were read.
bool q4_model_pack(struct q4_model *model, const struct q4_sources *sources, bool release, char *error);
// Checks every operation against buffers, weights and params, and notes which forms each buffer needs.
bool q4_model_check_plan(struct q4_model *model, char *error);
void q4_model_clear(struct q4_model *model);

#endif
