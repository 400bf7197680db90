// What a node of ggml's graphs is: operation, name, types, shapes and bytes of it and of what it reads.
#ifndef Q4_WATCH_TENSORS_H
#define Q4_WATCH_TENSORS_H

#include "slots.h"

// Finds ggml's functions and where a tensor's fields are, for who called from `caller`; notes what is not as known.
void q4_watch_learn_tensors(const void *caller);

// Describes a node in the caller's log unless it was described as it is now. second: the multiplication that is done
// together with a norm, else NULL. The address that its operations have.
uint64_t q4_watch_node(struct q4_watch_slot *slot, const void *node, const void *second);

// The nodes to come are those of another graph.
void q4_watch_next_graph(struct q4_watch_slot *slot);

// What a graph evaluates: n_eval tokens, the first of them at position n_past; n_past -1 where positions are not known,
// n_eval 0 where it evaluates none.
void q4_watch_inputs(struct q4_watch_slot *slot, void *graph, int64_t *n_past, uint64_t *n_eval);

#endif
