// What the watching library (docs/watch.md) leaves in its file, to be read by q4engine/watch/records.py.
//
// A head, then blocks. Each belongs to a slot, which one thread has at a time, and holds operations or their counts,
// all of one size, or log entries. `used` grows after what it counts was written, and the file is mapped: whatever ends
// the process, the kernel keeps what was written.
#ifndef Q4_WATCH_RECORDS_H
#define Q4_WATCH_RECORDS_H

#include <stdatomic.h>
#include <stdint.h>

#define Q4_WATCH_MAGIC "q4watch"
#define Q4_WATCH_VERSION 4
#define Q4_WATCH_HEAD_BYTES 4096
#define Q4_WATCH_BLOCK_BYTES (512 << 10)

struct q4_watch_head {
    char magic[8];
    uint32_t version, head_bytes, block_bytes, operation_bytes;
    uint32_t process, error; // error: errno of what ended the recording before the program did, else 0
    uint64_t operation_cost; // nanoseconds that 1000 operations' records take
    uint64_t count_words;    // of a reading of the counters
};

enum q4_watch_kind { Q4_WATCH_OPERATIONS = 1, Q4_WATCH_LOG, Q4_WATCH_OP_COUNTS };

struct q4_watch_block {
    _Atomic uint64_t used; // bytes behind this head
    uint32_t kind, slot;
    uint64_t number; // of the block in the file
    uint64_t padding[5];
};

// One thread's part of one node: `ticks` (clock.h) of which it waited `wait`, the rest it worked. It begins where the
// thread's operation before it ended. Little is written of it, because each new page takes its time.
//
//     words[0]  node's address, 48 bits; the lower 16 bits of ticks
//     words[1]  the upper 24 bits of ticks; wait, 40 bits
//
// The address's lowest bit is set of a norm that is done with the multiplication that follows it. A thread's first look
// at a graph is two records: node 0, words[1] its thread and, in the upper half, its CPU; then node 1, words[1] the
// time in ticks from which on its operations follow each other.
struct q4_watch_operation {
    uint64_t words[2];
};

#define Q4_WATCH_ADDRESS_BITS 48
#define Q4_WATCH_MOST_TICKS (((uint64_t)1 << 40) - 1)

static inline struct q4_watch_operation q4_watch_packed(uint64_t node, uint64_t ticks, uint64_t wait) {
    return (struct q4_watch_operation){{node | ticks << Q4_WATCH_ADDRESS_BITS, ticks >> 16 | wait << 24}};
}

// What the thread's counters counted in an operation: for each group the number of events (0: not known), ns enabled,
// ns running, counts.
struct q4_watch_op_count {
    uint64_t operation; // number of its record among those of the slot, from 0
    uint64_t words[];   // [2][count_words]: while it worked, while it waited
};

// Log entries: a head, then `bytes` of content, rounded up to 8.
enum q4_watch_entry_type {
    Q4_WATCH_CALL = 1, // struct q4_watch_call
    Q4_WATCH_END,      // struct q4_watch_end
    Q4_WATCH_NODE,     // the node's address, then text: a line a tensor
    Q4_WATCH_NOTE,     // text: key=value
    Q4_WATCH_COUNTS,   // the call's number, then for each group: number of events, ns enabled, ns running, counts
};

struct q4_watch_entry {
    uint32_t type, bytes;
};

enum q4_watch_call_kind {
    Q4_WATCH_DECODE,
    Q4_WATCH_ENCODE,
    Q4_WATCH_OTHER,  // a graph that evaluates no tokens: a shift of the cache, an image
    Q4_WATCH_UNSEEN, // a call whose graph was not seen
};

struct q4_watch_call {
    uint64_t call, kind, context;
    uint64_t ns, ticks; // the same moment
    int64_t n_past;     // the lowest position, -1: not known
    uint64_t n_eval, n_sequences;
};

struct q4_watch_end {
    uint64_t call;
    int64_t status;
    uint64_t ns, ticks;
    uint64_t own; // ticks that recording took before and after the call
};

#endif
