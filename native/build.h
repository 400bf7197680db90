// A model from its parts. Whoever has read a file (native/python, native/tests) describes it here; everything is
// checked before it is trusted.
#ifndef Q4_BUILD_H
#define Q4_BUILD_H

#include "model.h"

struct q4_table_spec { // GGUF rows, which must stay as long as the model does
    const uint8_t *data;
    size_t bytes;
    int type;
    size_t rows, columns;
};

struct q4_vector_spec { // copied
    const float *data;
    size_t n;
};

struct q4_rope_spec {
    size_t dim;
    double base;                   // pair i turns by base^(-2i / dim) a position …
    struct q4_vector_spec factors; // … divided by its factor, [dim / 2]; without data by none
    double magnitude;              // of cosines and sines
    struct q4_vector_spec far;     // factors instead of those in contexts of more than far_from positions; or none
    size_t far_from;
};

struct q4_weight_spec { // GGUF rows of one or more tensors, packed while the model is built
    const char *name;
    int type;
    size_t columns;
    size_t experts; // whose rows each tensor has, one expert's below the other's; 0: rows are of one matrix
    struct q4_sources sources;
};

struct q4_model_spec {
    const char *features; // as Q4_CPU_FEATURES has them; NULL: what the CPU offers
    int n_threads;        // of calls of few tokens
    int n_threads_batch;  // of calls of more; 0: as many
    const int *cpus;      // [the more of both] to pin them to, or NULL
    const char *kv_form;  // as q4_kv_traits names it; NULL: the first
    size_t n_layers;
    const struct q4_table_spec *tables;
    const struct q4_vector_spec *vectors;
    const struct q4_rope_spec *rope_tables;
    const struct q4_weight_spec *weights;
    const size_t *buffers;    // widths
    const struct q4_op *plan; // kind, name, layer, last and the fields of the kind's class
    size_t n_tables, n_vectors, n_rope_tables, n_weights, n_buffers, n_ops;
    bool release; // the weights' sources are a mapped file, whose pages are given back once they were read
    bool unfused; // every operation on its own: the same bits, slower
    struct q4_interrupt *interrupt; // may end the packing; NULL: nothing does
};

// Threads that a model has: those of its largest calls.
static inline int q4_spec_threads(const struct q4_model_spec *spec) {
    return spec->n_threads_batch > spec->n_threads ? spec->n_threads_batch : spec->n_threads;
}

// Builds a model. false: `error` says what does not fit, and the model is empty. The caller clears it in the end.
bool q4_model_build(struct q4_model *model, const struct q4_model_spec *spec, char *error);

#endif
