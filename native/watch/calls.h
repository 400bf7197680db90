// Calls: what a program evaluates in one graph.
#ifndef Q4_WATCH_CALLS_H
#define Q4_WATCH_CALLS_H

#include "records.h"

#include <stdint.h>

// llama_decode takes this by value, and other versions a longer one: x86-64 passes it on the stack and AArch64 as the
// address of a copy there, so what lies behind these fields can always be read, and is handed on with them.
// Source: llama.h, of this form since October 2024, with three numbers more (of 4 bytes each) before.
struct llama_batch {
    int32_t n_tokens;
    int32_t *token;
    float *embd;
    int32_t *pos;
    int32_t *n_seq_id;
    int32_t **seq_id;
    int8_t *logits;
    uint64_t behind[4];
};

// What llama_ubatch begins with, the part of a batch that a graph evaluates. Source: llama-batch.h of 0.5.0; it is no
// public structure, so nothing is taken from it that does not fit together and to the graph.
struct q4_watch_part {
    uint32_t equal_seqs, n_tokens, n_seq_tokens, n_seqs, n_seqs_unq;
};

// Around a call of the program into llama.cpp; calls within it are part of it. Returns whether this is the outermost.
int q4_watch_enter(void *context, const struct llama_batch *batch, enum q4_watch_call_kind kind, const void *caller);
void q4_watch_leave(int outermost, int status);

// The part of the batch that the next graph of this thread evaluates, NULL: not known.
void q4_watch_next_part(const struct q4_watch_part *part);

// Around the evaluation of a graph.
void q4_watch_graph_begin(void *scheduler, void *graph, const void *caller);
void q4_watch_graph_end(int status);

#endif
