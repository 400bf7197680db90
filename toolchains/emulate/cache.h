// A simulated cache: set-associative, least recently used line replaced, allocated by reads and writes alike.
#ifndef Q4_CACHE_H
#define Q4_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache_shape {
    size_t bytes, ways; // bytes 0: there is no such level
};

struct cache {
    uint64_t *lines; // [sets][ways], most recently used first; a line's number plus one, 0 where empty
    size_t sets, ways;
};

// Why a cache cannot have this shape; NULL where it can.
const char *cache_problem(const struct cache_shape *shape, size_t line_bytes);
bool cache_init(struct cache *cache, const struct cache_shape *shape, size_t line_bytes);

// Uses a line, given by address / line size. false: it was not there and has been filled.
static inline bool cache_use(struct cache *cache, uint64_t line) {
    uint64_t *set = cache->lines + (line & (cache->sets - 1)) * cache->ways, tag = line + 1, moved = set[0];
    if (moved == tag)
        return true;
    set[0] = tag;
    for (size_t i = 1; i < cache->ways; i++) {
        uint64_t next = set[i];
        set[i] = moved;
        if (next == tag)
            return true;
        moved = next;
    }
    return false;
}

#endif
