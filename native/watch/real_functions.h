// The functions that the library stands in front of, and others of the same library.
#ifndef Q4_WATCH_REAL_FUNCTIONS_H
#define Q4_WATCH_REAL_FUNCTIONS_H

#include <stdatomic.h>
#include <stdint.h>

// A function as one object of the process sees it. There may be several copies of a library in a process, each calling
// its own.
struct q4_watch_real {
    uintptr_t low, high; // addresses of the calling object
    void *function;      // NULL: there is none
    const struct q4_watch_real *next;
};

typedef _Atomic(const struct q4_watch_real *) q4_watch_real_cache;

// The function of this name for who called from `caller`, an address in its code: never one of this library, NULL where
// there is no other.
void *q4_watch_find(q4_watch_real_cache *cache, const char *name, const void *caller);

static inline void *q4_watch_real(q4_watch_real_cache *cache, const char *name, const void *caller) {
    const struct q4_watch_real *known = atomic_load_explicit(cache, memory_order_acquire);
    for (; known; known = known->next)
        if ((uintptr_t)caller - known->low < known->high - known->low)
            return known->function;
    return q4_watch_find(cache, name, caller);
}

// A function of the library that `caller` is in or of one that it uses, NULL where there is none of this name.
void *q4_watch_symbol(const char *name, const void *caller);

// The path of the first loaded object whose path contains this text; "" where there is none.
void q4_watch_object_named(const char *part, char *path, unsigned long bytes);

#endif
