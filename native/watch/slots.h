// Threads that were seen: each has a slot while it lives, with the blocks that its records go to.
#ifndef Q4_WATCH_SLOTS_H
#define Q4_WATCH_SLOTS_H

#include "../clock.h"
#include "../pmu.h"
#include "record_file.h"

#define Q4_WATCH_SLOTS 256
#define Q4_WATCH_POSITIONS ((size_t)1 << 14)
#define Q4_WATCH_READINGS_KEPT 4

struct q4_watch_seen { // a node as it was last described
    uint64_t node, content;
};

struct q4_watch_place { // a node of the graph before, and what it was there: but for its name, and all of it
    uint64_t node, form, content;
};

struct q4_watch_slot {
    _Alignas(128) _Atomic bool taken; // threads that work side by side write into theirs with each operation
    unsigned number;
    struct q4_watch_block *operations, *op_counts, *log;
    uint64_t n_operations;        // records of them
    uint64_t n_before, n_most;    // of them, before the present graph, and of a graph at most
    uint64_t own;                 // ticks that new blocks took in the present call
    struct q4_watch_seen *seen;   // of a slot that makes calls: nodes by their addresses
    struct q4_watch_place *order; // and in the order of a graph
    size_t n_seen, n_order, at;   // n_order: nodes of the graph before, at: of the present one so far
    bool described, another;      // a node of the present graph was, anew; or is not the one of the graph before
    struct q4_pmu *pmu;           // counters on the thread that has the slot
    uint64_t *past_counts;        // of threads that had it before
    uint64_t *counts;             // of all threads when the call began
    uint64_t *readings;           // [Q4_WATCH_READINGS_KEPT][n_words], NULL: operations are not counted (op_counts.c)
    struct q4_watch_op_count *counted; // the record of the present operation
    int32_t *positions;                // [Q4_WATCH_POSITIONS], of a call's tokens
};

// Whether other threads take part in a graph. Where none does barriers are no waiting.
enum q4_watch_company { Q4_WATCH_TOGETHER, Q4_WATCH_NOT_KNOWN, Q4_WATCH_ALONE };

// What the calling thread is doing.
struct q4_watch_thread {
    struct q4_watch_slot *slot;
    int tid;
    struct q4_watch_operation *operation; // NULL: none
    uint64_t node;                        // of the operation
    q4_ticks start, end, wait;            // end: so far
    bool waited;                          // at a barrier since the operation began
    enum q4_watch_company company;        // in the graph that it began
    uint64_t graph;                       // the last one that it took part in
    uint64_t n_joined;                    // q4_watch.n_joined when it began that graph
    uint64_t call;                        // whose caller it is, 0: of none
    void *called_graph;                   // of that call
};

extern _Thread_local struct q4_watch_thread q4_watch_here;

// The library as a whole. ready: a file is there.
struct q4_watch_state {
    _Atomic bool ready;
    _Atomic bool noted;      // what the process is
    _Atomic bool paused;     // by the program: nothing is recorded
    _Atomic bool operations; // a record of each
    bool with_operations;    // that was asked for, and their functions are as known
    bool op_counts;          // and what it counted
    bool ticking;
    _Atomic uint64_t n_calls, n_graphs;
    _Atomic uint64_t n_joined; // threads that took part in a graph, of all graphs together
    struct q4_pmu_group groups[Q4_PMU_MAX_GROUPS];
    size_t n_groups, n_words; // n_words: of one reading
};

extern struct q4_watch_state q4_watch;

// Opens the file, as the environment says; false: nothing is to be recorded.
bool q4_watch_start(void);

// The calling thread's slot, the lowest free one; NULL where there is none.
struct q4_watch_slot *q4_watch_slot_here(void);

// The present operation's record, as long as it has lasted until `end`.
static inline void q4_watch_lasted(struct q4_watch_thread *here, q4_ticks end) {
    const uint64_t most = Q4_WATCH_MOST_TICKS;
    here->end = end;
    uint64_t ticks = end - here->start;
    *here->operation = q4_watch_packed(here->node, ticks < most ? ticks : most, here->wait < most ? here->wait : most);
}

// The calling thread begins a graph, or a part of it.
void q4_watch_begin_graph(void);

// What the threads' counters have counted so far, all together, [n_words].
void q4_watch_counts(uint64_t *words);

// An entry of the calling thread's log.
void q4_watch_log(enum q4_watch_entry_type type, const void *head, size_t head_bytes, const void *rest,
                  size_t rest_bytes);
void q4_watch_note(const char *key, const char *value);

#endif
