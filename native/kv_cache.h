// The KV cache of a session: keys and values of every layer's heads in the model's form, each head's positions in one
// piece (ops.h has the order within). What else wants to know the layout asks here.
#ifndef Q4_KV_CACHE_H
#define Q4_KV_CACHE_H

#include "model.h"

struct q4_kv_layer {
    size_t first, head_stride; // bytes: where the layer's first head starts, and to the next one
};

struct q4_kv_cache {
    struct q4_kv_layer *layers;
    uint8_t *keys, *values;
    size_t bytes;
};

struct q4_kv_head { // one head's keys and values of one layer
    uint8_t *keys, *values;
};

// Room for n_ctx positions. false where there is no memory; nothing is to be freed then.
bool q4_kv_cache_init(struct q4_kv_cache *cache, const struct q4_model *model, size_t n_ctx);
void q4_kv_cache_clear(struct q4_kv_cache *cache);

// Bytes of one position in all layers, which attention to it reads.
size_t q4_kv_position_bytes(const struct q4_model *model);

// The first n positions of all layers and heads, keys before values, one head behind the other and in whole blocks, the
// last one's further positions zero: the same bytes on every machine, whatever the session held before. n is no more
// than the context; `out` is aligned to 2 bytes.
size_t q4_kv_saved_bytes(const struct q4_model *model, size_t n);
void q4_kv_save(const struct q4_kv_cache *cache, const struct q4_model *model, size_t n, uint8_t *out);
void q4_kv_load(struct q4_kv_cache *cache, const struct q4_model *model, size_t n, const uint8_t *in);

static inline struct q4_kv_head q4_kv_head(const struct q4_kv_cache *cache, int layer, size_t head) {
    const struct q4_kv_layer *l = &cache->layers[layer];
    size_t at = l->first + head * l->head_stride;
    return (struct q4_kv_head){cache->keys + at, cache->values + at};
}

#endif
