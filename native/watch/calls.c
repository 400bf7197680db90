#define _GNU_SOURCE
#include "calls.h"

#include "op_counts.h"
#include "real_functions.h"
#include "slots.h"
#include "tensors.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEQUENCES 1024

// The program's call that the thread is in.
static _Thread_local struct {
    int depth;
    enum q4_watch_call_kind kind;
    void *context;
    int64_t n_past; // of the batch's first token, -1: not known
    uint64_t n_tokens, n_sequences;
    uint64_t n_graphs, n_done; // so far, and the tokens in them
    struct q4_watch_part part; // of the present graph, zeros: not known
    uint64_t start_ns, start_ticks;
    uint64_t own;      // ticks of recording before the present graph
    const void *frame; // of the stack
} outer __attribute__((tls_model("initial-exec")));

static bool is_recorded(void) { return q4_watch_start() && !q4_watch.paused; }

// ---- the batch ----------------------------------------------------------------------------------

// Position behind the last one of a sequence that the context holds, by its public functions; -1 where it has none.
static int64_t next_position(void *context, int32_t sequence, const void *caller) {
    void *(*memory)(const void *context);
    int32_t (*last)(void *memory, int32_t sequence);
    *(void **)&memory = q4_watch_symbol("llama_get_memory", caller);
    *(void **)&last = q4_watch_symbol("llama_memory_seq_pos_max", caller);
    void *held = memory && last && context ? memory(context) : NULL;
    return held ? (int64_t)last(held, sequence) + 1 : -1;
}

static uint64_t count_sequences(const struct llama_batch *batch) {
    uint64_t seen[SEQUENCES / 64] = {0}, n = 0;
    if (batch->n_seq_id == NULL || batch->seq_id == NULL)
        return 1;
    for (int32_t i = 0; i < batch->n_tokens; i++)
        for (int32_t j = 0; batch->seq_id[i] && j < batch->n_seq_id[i]; j++) {
            int32_t sequence = batch->seq_id[i][j];
            if (sequence < 0 || sequence >= SEQUENCES || seen[sequence / 64] >> sequence % 64 & 1)
                continue;
            seen[sequence / 64] |= (uint64_t)1 << sequence % 64;
            n++;
        }
    return n;
}

static int64_t first_position(void *context, const struct llama_batch *batch, const void *caller) {
    if (batch == NULL || batch->pos == NULL)
        return next_position(context, 0, caller);
    int32_t least = batch->n_tokens > 0 ? batch->pos[0] : -1;
    for (int32_t i = 1; i < batch->n_tokens; i++)
        least = batch->pos[i] < least ? batch->pos[i] : least;
    return least;
}

int q4_watch_enter(void *context, const struct llama_batch *batch, enum q4_watch_call_kind kind, const void *caller) {
    const void *frame = __builtin_frame_address(0);
    if (outer.depth && (uintptr_t)frame >= (uintptr_t)outer.frame)
        outer.depth = 0; // an exception left the call before
    if (outer.depth++)
        return 0;
    int error = errno;
    outer.frame = frame;
    outer.kind = kind;
    outer.context = context;
    outer.n_graphs = outer.n_done = 0;
    outer.n_tokens = batch && batch->n_tokens > 0 ? (uint64_t)batch->n_tokens : 0;
    outer.n_sequences = outer.n_tokens ? count_sequences(batch) : 0;
    outer.n_past = batch == NULL || outer.n_tokens ? first_position(context, batch, caller) : -1;
    q4_clock_both(q4_watch.ticking, &outer.start_ns, &outer.start_ticks);
    errno = error;
    return 1;
}

void q4_watch_next_part(const struct q4_watch_part *part) {
    outer.part = part ? *part : (struct q4_watch_part){.n_tokens = 0};
}

// Sequences of a graph that evaluates n_tokens: of the part that it is, else of the whole batch; 0: not known.
static uint64_t sequences_of(uint64_t n_tokens) {
    const struct q4_watch_part *part = &outer.part;
    bool fits = part->equal_seqs <= 1 && part->n_tokens == n_tokens && part->n_seqs <= n_tokens &&
                (uint64_t)part->n_seq_tokens * part->n_seqs == n_tokens && part->n_seqs_unq > 0 &&
                part->n_seqs_unq <= SEQUENCES;
    return fits ? part->n_seqs_unq : outer.depth ? outer.n_sequences : 0;
}

// ---- records ------------------------------------------------------------------------------------

static void log_counts(uint64_t call, const uint64_t *before) {
    uint64_t counts[1 + Q4_PMU_MAX_GROUPS * (Q4_PMU_HEAD_WORDS + Q4_PMU_MAX_EVENTS)] = {call}, *after = counts + 1;
    q4_watch_counts(after);
    for (size_t g = 0; g < q4_watch.n_groups; g++) {
        size_t n = Q4_PMU_HEAD_WORDS + q4_watch.groups[g].n_events;
        for (size_t i = 1; i < n; i++) // the first word is the number of events
            after[i] -= before[i];
        after += n;
        before += n;
    }
    q4_watch_log(Q4_WATCH_COUNTS, counts, (1 + q4_watch.n_words) * sizeof *counts, NULL, 0);
}

static void log_end(uint64_t call, int status, uint64_t own) {
    struct q4_watch_end end = {.call = call, .status = status};
    q4_clock_both(q4_watch.ticking, &end.ns, &end.ticks);
    const struct q4_watch_operation *open = q4_watch_here.operation;
    if (open && !q4_watch_here.waited)
        q4_watch_lasted(&q4_watch_here, end.ticks);
    struct q4_watch_slot *slot = q4_watch_here.slot;
    if (open && slot && slot->readings)
        q4_watch_count_end(slot, q4_watch_here.waited);
    q4_watch_here.operation = NULL;
    if (slot && slot->counts && q4_watch_here.call)
        log_counts(call, slot->counts);
    if (slot && q4_watch_here.called_graph && status == 0)
        q4_watch_tell_unseen(slot, q4_watch_here.called_graph);
    end.own = own + (slot ? slot->own : 0) + q4_stamp(q4_watch.ticking) - end.ticks;
    q4_watch_log(Q4_WATCH_END, &end, sizeof end, NULL, 0);
}

// A call whose graph went elsewhere than through what this library stands in front of.
void q4_watch_leave(int outermost, int status) {
    outer.depth--;
    if (!outermost || outer.n_graphs || outer.n_tokens == 0 || status != 0 || !is_recorded())
        return;
    int error = errno;
    struct q4_watch_call call = {.call = atomic_fetch_add(&q4_watch.n_calls, 1) + 1,
                                 .kind = Q4_WATCH_UNSEEN,
                                 .context = (uintptr_t)outer.context,
                                 .ns = outer.start_ns,
                                 .ticks = outer.start_ticks,
                                 .n_past = outer.n_past,
                                 .n_eval = outer.n_tokens,
                                 .n_sequences = outer.n_sequences};
    q4_watch_log(Q4_WATCH_CALL, &call, sizeof call, NULL, 0);
    log_end(call.call, status, 0);
    errno = error;
}

static void note_files(void) {
    char path[4096 + 64], last[4096 + 64] = "";
    q4_watch_object_named("libggml-cpu", path, sizeof path);
    if (path[0])
        q4_watch_note("library", path);
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL)
        return;
    char text[4096 + 128];
    while (fgets(text, sizeof text, maps)) {
        char *file = strchr(text, '/'), *end = file ? strstr(file, ".gguf\n") : NULL;
        if (end == NULL)
            continue;
        end[5] = '\0';
        snprintf(path, sizeof path, "%s", file);
        if (strcmp(path, last) != 0)
            q4_watch_note("model", path);
        memcpy(last, path, sizeof last);
    }
    fclose(maps);
}

static void first_call(const void *caller) {
    if (atomic_exchange(&q4_watch.noted, true))
        return;
    note_files();
    q4_watch_learn_tensors(caller);
}

void q4_watch_graph_begin(void *scheduler, void *graph, const void *caller) {
    int error = errno;
    struct q4_watch_slot *slot = is_recorded() ? q4_watch_slot_here() : NULL;
    if (slot == NULL)
        return;
    q4_ticks entered = q4_stamp(q4_watch.ticking);
    first_call(caller);
    struct q4_watch_call call = {.kind = outer.depth ? outer.kind : Q4_WATCH_DECODE, .context = (uintptr_t)scheduler};
    q4_watch_inputs(slot, graph, &call.n_past, &call.n_eval);
    if (call.n_eval == 0)
        call.kind = Q4_WATCH_OTHER;
    else {
        if (call.n_past < 0 && outer.n_past >= 0)
            call.n_past = outer.n_past + (int64_t)outer.n_done;
        call.n_sequences = sequences_of(call.n_eval);
        outer.n_done += call.n_eval;
    }
    outer.n_graphs++;
    q4_watch_next_graph(slot);
    slot->own = 0;
    q4_watch_refresh(&slot->log, Q4_WATCH_LOG, slot->number, Q4_WATCH_BLOCK_BYTES / 2);
    call.call = q4_watch_here.call = atomic_fetch_add(&q4_watch.n_calls, 1) + 1;
    q4_watch_here.called_graph = graph;
    q4_watch_here.operation = NULL;
    q4_watch_begin_graph();
    if (q4_watch.n_groups && slot->counts == NULL)
        slot->counts = calloc(q4_watch.n_words, sizeof *slot->counts);
    if (slot->counts)
        q4_watch_counts(slot->counts);
    q4_clock_both(q4_watch.ticking, &call.ns, &call.ticks);
    outer.own = call.ticks - entered;
    q4_watch_log(Q4_WATCH_CALL, &call, sizeof call, NULL, 0);
    errno = error;
}

void q4_watch_graph_end(int status) {
    int error = errno;
    if (q4_watch_here.call)
        log_end(q4_watch_here.call, status, outer.own);
    q4_watch_here.call = 0;
    q4_watch_here.called_graph = NULL;
    q4_watch_here.company = Q4_WATCH_TOGETHER;
    errno = error;
}
