// Random decoders, built from C alone, for the tests of plans.
#ifndef Q4_DECODER_H
#define Q4_DECODER_H

#include "test.h"

#include "../build.h"

#define MOST_WEIGHTS 32
#define MOST_OPS 64
#define MOST_BUFFERS 16
#define MOST_VECTORS 48

// A random decoder: the sizes, and the parts of its spec in memory of its own.
struct decoder {
    size_t dim, heads, kv_heads, head_dim, ffn, vocabulary, layers;
    size_t experts, used;          // of every layer; 0: its feed-forward network is one
    bool shared, normalised;       // shared: there is a network too that all tokens go to
    bool layer_norm;               // in place of RMSNorm where whole rows are normed
    bool clamp;                    // of Q, K and V
    bool bias, qk_norm, post_norm; // post_norm: what is added to the residual is normed first
    size_t window;                 // of layer 0; 0: none
    float scale, cap;              // of what is added to the residual, and of embedding and logits; of scores, logits
    int activation;
    bool wide;        // wide: all widths are multiples of 256, so that K-quants fit
    size_t last_from; // the layer whose attention and what follows serve the last token alone
    struct q4_table_spec table;
    struct q4_vector_spec vectors[MOST_VECTORS];
    struct q4_rope_spec rope_tables[2];
    struct q4_weight_spec weights[MOST_WEIGHTS];
    struct q4_source sources[MOST_WEIGHTS][3];
    size_t buffers[MOST_BUFFERS];
    struct q4_op plan[MOST_OPS];
    struct q4_model_spec spec;
    bool last;
    int layer;
};

// Random sizes, types and weights. free_decoder for what is in it.
void make_decoder(struct decoder *d, struct rng *r);
void free_decoder(struct decoder *d);
// The spec's lists, where the decoder stands now: a copy has lists of its own, and the first one's rows and vectors.
void point_spec(struct decoder *d);

#endif
