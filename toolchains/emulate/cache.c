#include "cache.h"

#include <stdlib.h>

static bool power_of_two(size_t n) { return n != 0 && (n & (n - 1)) == 0; }

const char *cache_problem(const struct cache_shape *shape, size_t line_bytes) {
    if (!power_of_two(line_bytes) || line_bytes < 16 || line_bytes > 4096)
        return "a line must have 16 to 4096 bytes, a power of two";
    if (shape->bytes == 0)
        return NULL;
    if (shape->ways == 0 || shape->bytes % (shape->ways * line_bytes) != 0)
        return "the size must be a multiple of ways times line";
    if (!power_of_two(shape->bytes / (shape->ways * line_bytes)))
        return "size / ways / line, the number of sets, must be a power of two";
    return NULL;
}

bool cache_init(struct cache *cache, const struct cache_shape *shape, size_t line_bytes) {
    cache->ways = shape->ways;
    cache->sets = shape->bytes / (shape->ways * line_bytes);
    cache->lines = calloc(cache->sets * cache->ways, sizeof *cache->lines);
    return cache->lines != NULL;
}
