// The file that records go to, one a process.
#ifndef Q4_WATCH_RECORD_FILE_H
#define Q4_WATCH_RECORD_FILE_H

#include "records.h"

#include <stdbool.h>
#include <stddef.h>

// Makes the file in the folder that the environment's Q4_WATCH names, once. false: there is none.
bool q4_watch_file_open(void);
struct q4_watch_head *q4_watch_file_head(void);

// The file is another process's: a fork's child lets go of it.
void q4_watch_file_forget(void);

// Room for `bytes` in the slot's present block of this kind, or in a new one; NULL where the disk is full, from where
// on nothing is recorded. What is written there counts once q4_watch_done has been told.
void *q4_watch_room(struct q4_watch_block **block, enum q4_watch_kind kind, unsigned slot, size_t bytes);
static inline void q4_watch_done(struct q4_watch_block *block, size_t bytes) {
    uint64_t used = atomic_load_explicit(&block->used, memory_order_relaxed);
    atomic_store_explicit(&block->used, used + bytes, memory_order_release);
}

// A new block where less than so much of the present one is left: between two calls it costs no operation's time.
void q4_watch_refresh(struct q4_watch_block **block, enum q4_watch_kind kind, unsigned slot, size_t bytes);

#endif
