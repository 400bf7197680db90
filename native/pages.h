// Huge pages while they are worth it. A huge page is cleared when it is touched first, which costs a fraction of the
// 512 faults that small pages take. Not so in a guest whose hypervisor took the memory back: there it costs several
// times as much as they do. Whoever fills new memory lets this watch; once a few huge pages cost more CPU time than
// small ones would, what is left becomes small.
#ifndef Q4_PAGES_H
#define Q4_PAGES_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define Q4_HUGE_PAGE ((size_t)2 << 20)

struct q4_page_watch {
    uint8_t *end;      // of the memory; NULL: too little to be watched
    uint64_t small_ns; // CPU time that small pages for one huge one take
    _Atomic int slow;  // huge pages that took more than twice that
};

// Memory that q4_alloc gave for huge pages and that nobody touched. Its last pages become small ones, timed.
void q4_watch_pages(struct q4_page_watch *watch, void *memory, size_t bytes);

// A thread is about to fill these bytes of it, which nobody touched.
void q4_watch_fill(struct q4_page_watch *watch, uint8_t *first, size_t bytes);

#endif
