// What a node of ggml's graphs is: operation, name, types, shapes and bytes of it and of what it reads.
#ifndef Q4_WATCH_TENSORS_H
#define Q4_WATCH_TENSORS_H

#include "slots.h"

// Finds ggml's functions and where a tensor's fields are, for who called from `caller`; notes what is not as known.
void q4_watch_learn_tensors(const void *caller);

// What a node is called in records: its address without what Arm's user space may keep in the upper bits, and whether
// the multiplication behind it belongs to it.
static inline uint64_t q4_watch_address(const void *node, const void *second) {
    return ((uintptr_t)node & (((uint64_t)1 << Q4_WATCH_ADDRESS_BITS) - 1)) | (second != NULL);
}

// Describes a node in the caller's log unless it was described as it is now. second: the multiplication that is done
// together with a norm, else NULL. The address that its operations have.
uint64_t q4_watch_node(struct q4_watch_slot *slot, const void *node, const void *second);

// Whether a node is one of the graph's; true where that cannot be told. The node is not looked into.
bool q4_watch_is_of_graph(void *graph, const void *node);

// Notes, once in a process, which nodes of the present graph are carried out without being seen: their times lie in
// the operations behind them.
void q4_watch_tell_unseen(const struct q4_watch_slot *slot, void *graph);

// The nodes to come are those of another graph.
void q4_watch_next_graph(struct q4_watch_slot *slot);

// What a graph evaluates: n_eval tokens, the first of them at position n_past; n_past -1 where positions are not known,
// n_eval 0 where it evaluates none.
void q4_watch_inputs(struct q4_watch_slot *slot, void *graph, int64_t *n_past, uint64_t *n_eval);

#endif
