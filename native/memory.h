// Memory for weights, caches and records, straight from the system.
#ifndef Q4_MEMORY_H
#define Q4_MEMORY_H

#include <stddef.h>

// Zeroed memory, page-aligned, that costs nothing until it is touched. NULL where there is none. The caller keeps the
// size.
enum q4_pages {
    Q4_PAGES_HUGE,  // streamed as a whole: huge pages where the system grants them
    Q4_PAGES_SMALL, // touched here and there: only the pages that are used become resident
};
void *q4_alloc(size_t bytes, enum q4_pages pages);
void q4_free(void *p, size_t bytes);

// What lies between the pieces of one allocation. Builds with AddressSanitizer leave Q4_GAP bytes there and end where
// one is touched: whoever carves pieces out of memory closes all of it first, then opens each piece.
#ifdef __SANITIZE_ADDRESS__
#define Q4_GAP ((size_t)128)
void __asan_poison_memory_region(const volatile void *p, size_t bytes);
void __asan_unpoison_memory_region(const volatile void *p, size_t bytes);
static inline void q4_close(void *p, size_t bytes) { __asan_poison_memory_region(p, bytes); }
static inline void q4_open(void *p, size_t bytes) { __asan_unpoison_memory_region(p, bytes); }
#else
#define Q4_GAP ((size_t)0)
static inline void q4_close(void *p, size_t bytes) { (void)p, (void)bytes; }
static inline void q4_open(void *p, size_t bytes) { (void)p, (void)bytes; }
#endif

#endif
