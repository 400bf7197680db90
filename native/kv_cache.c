#include "kv_cache.h"

#include "memory.h"

#include <stdlib.h>
#include <string.h>

static size_t block_bytes(const struct q4_model *m, size_t layer) {
    return q4_kv_block_bytes(m->kv_form, m->kv_shapes[layer].head_dim);
}

static void open_layers(struct q4_kv_cache *cache, const struct q4_model *m) {
    q4_close(cache->keys, cache->bytes);
    for (size_t i = 0; i < m->n_layers; i++) {
        struct q4_kv_layer *l = &cache->layers[i];
        size_t bytes = l->head_stride * m->kv_shapes[i].heads;
        q4_open(cache->keys + l->first, bytes);
        q4_open(cache->values + l->first, bytes);
    }
}

bool q4_kv_cache_init(struct q4_kv_cache *cache, const struct q4_model *m, size_t n_ctx) {
    *cache = (struct q4_kv_cache){.layers = calloc(m->n_layers, sizeof *cache->layers)};
    size_t blocks = q4_round_up(n_ctx, Q4_KV_BLOCK) / Q4_KV_BLOCK, total = 0; // a kernel may read to the end of one
    for (size_t i = 0; cache->layers && i < m->n_layers; i++) {
        struct q4_kv_layer *l = &cache->layers[i];
        size_t bytes;
        l->first = total;
        if (!q4_mul_size(blocks, block_bytes(m, i), &l->head_stride) ||
            !q4_mul_size(l->head_stride, m->kv_shapes[i].heads, &bytes) || bytes > SIZE_MAX / 8 ||
            __builtin_add_overflow(total, bytes + Q4_GAP, &total) || total > SIZE_MAX / 8)
            total = SIZE_MAX / 8; // more than any machine has
    }
    cache->bytes = total ? total * 2 : 64; // a plan without attention has nothing to keep
    cache->keys = cache->layers ? q4_alloc(cache->bytes, Q4_PAGES_SMALL) : NULL;
    cache->values = cache->keys ? cache->keys + total : NULL;
    if (cache->keys) {
        open_layers(cache, m);
        return true;
    }
    q4_kv_cache_clear(cache);
    return false;
}

void q4_kv_cache_clear(struct q4_kv_cache *cache) {
    q4_free(cache->keys, cache->bytes);
    free(cache->layers);
    *cache = (struct q4_kv_cache){0};
}

size_t q4_kv_position_bytes(const struct q4_model *m) {
    size_t bytes = 0;
    for (size_t i = 0; i < m->n_layers; i++)
        bytes += m->kv_shapes[i].heads * 2 * (block_bytes(m, i) / Q4_KV_BLOCK);
    return bytes;
}

static size_t head_bytes(const struct q4_model *m, size_t layer, size_t n) {
    return q4_round_up(n, Q4_KV_BLOCK) / Q4_KV_BLOCK * block_bytes(m, layer);
}

size_t q4_kv_saved_bytes(const struct q4_model *m, size_t n) {
    size_t bytes = 0;
    for (size_t i = 0; i < m->n_layers; i++)
        bytes += m->kv_shapes[i].heads * 2 * head_bytes(m, i, n);
    return bytes;
}

// Zeros at a block's positions from t on, which were forgotten or come later.
static void clear_rest(const struct q4_model *m, size_t layer, size_t t, uint8_t *keys, uint8_t *values) {
    static const float zeros[Q4_MAX_HEAD_DIM];
    for (; t < Q4_KV_BLOCK; t++)
        m->ops->kv[m->kv_form].store(keys, values, zeros, zeros, m->kv_shapes[layer].head_dim, t);
}

void q4_kv_save(const struct q4_kv_cache *cache, const struct q4_model *m, size_t n, uint8_t *out) {
    for (size_t i = 0; i < m->n_layers; i++)
        for (size_t h = 0; h < m->kv_shapes[i].heads; h++) {
            struct q4_kv_head head = q4_kv_head(cache, (int)i, h);
            size_t bytes = head_bytes(m, i, n), last = n / Q4_KV_BLOCK * block_bytes(m, i);
            memcpy(out, head.keys, bytes);
            memcpy(out + bytes, head.values, bytes);
            if (last < bytes)
                clear_rest(m, i, n % Q4_KV_BLOCK, out + last, out + bytes + last);
            out += 2 * bytes;
        }
}

void q4_kv_load(struct q4_kv_cache *cache, const struct q4_model *m, size_t n, const uint8_t *in) {
    for (size_t i = 0; i < m->n_layers; i++)
        for (size_t h = 0; h < m->kv_shapes[i].heads; h++) {
            struct q4_kv_head head = q4_kv_head(cache, (int)i, h);
            size_t bytes = head_bytes(m, i, n);
            memcpy(head.keys, in, bytes);
            memcpy(head.values, in + bytes, bytes);
            in += 2 * bytes;
        }
}
