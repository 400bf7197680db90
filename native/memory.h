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

#endif
