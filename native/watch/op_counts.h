// What each operation counted on its thread: records beside those of operations (records.h).
#ifndef Q4_WATCH_OP_COUNTS_H
#define Q4_WATCH_OP_COUNTS_H

#include "slots.h"

// The operation that was recorded last begins, and the one before it, if any, has ended. waited: at a barrier, where
// the counters were read already.
void q4_watch_count_operation(struct q4_watch_slot *slot, bool waited);

// Around a barrier within or behind an operation.
void q4_watch_count_wait(struct q4_watch_slot *slot);
void q4_watch_count_waited(struct q4_watch_slot *slot);

// The last operation of a graph has ended.
void q4_watch_count_end(struct q4_watch_slot *slot, bool waited);

// Nanoseconds that counting takes of a thousand operations.
uint64_t q4_watch_count_cost(struct q4_watch_slot *slot);

#endif
