// The functions that this library stands in front of: those of llama.cpp's shared libraries that are called through the
// procedure linkage table. Each does what it is for, then goes on to the real one; where there is none it calls
// nothing.
#define _GNU_SOURCE
#include "calls.h"
#include "op_counts.h"
#include "real_functions.h"
#include "slots.h"
#include "tensors.h"

#include <sched.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

// ---- operations ---------------------------------------------------------------------------------

// Room for what a graph takes, taken before its operations begin.
static void make_room(struct q4_watch_slot *slot) {
    uint64_t n = slot->n_operations - slot->n_before;
    slot->n_before = slot->n_operations;
    slot->n_most = n > slot->n_most ? n : slot->n_most;
    size_t bytes = slot->n_most * sizeof(struct q4_watch_operation), half = Q4_WATCH_BLOCK_BYTES / 2;
    q4_watch_refresh(&slot->operations, Q4_WATCH_OPERATIONS, slot->number, bytes && bytes < half ? bytes : half);
    if (slot->readings)
        q4_watch_refresh(&slot->op_counts, Q4_WATCH_OP_COUNTS, slot->number, half);
}

// The thread's first look at a graph: what it waited for until then is no operation's time.
static struct q4_watch_slot *join(struct q4_watch_thread *here, uint64_t graph) {
    here->operation = NULL;
    here->graph = graph;
    atomic_fetch_add(&q4_watch.n_joined, 1);
    struct q4_watch_slot *slot = q4_watch_slot_here();
    if (slot == NULL)
        return NULL;
    slot->counted = NULL;
    q4_ticks before = q4_stamp(q4_watch.ticking);
    make_room(slot);
    slot->own += q4_stamp(q4_watch.ticking) - before;
    return slot;
}

static struct q4_watch_operation *add(struct q4_watch_slot *slot, const struct q4_watch_operation *records, size_t n) {
    size_t bytes = n * sizeof *records;
    struct q4_watch_operation *room = q4_watch_room(&slot->operations, Q4_WATCH_OPERATIONS, slot->number, bytes);
    if (room) {
        memcpy(room, records, bytes);
        q4_watch_done(slot->operations, bytes);
        slot->n_operations += n;
    }
    return room;
}

static void first_look(struct q4_watch_slot *slot, q4_ticks now, int tid) {
    uint64_t thread = (uint32_t)tid, cpu = (uint32_t)sched_getcpu();
    add(slot, (struct q4_watch_operation[]){{{0, thread | cpu << 32}}, {{1, now}}}, 2);
}

// Where the present operation begins: where the one before it ended, at the end of the barrier, or now.
static q4_ticks next_start(struct q4_watch_thread *here, struct q4_watch_slot *slot) {
    q4_ticks start;
    if (here->operation && here->waited) {
        start = here->end;
    } else {
        start = q4_stamp(q4_watch.ticking);
        if (here->operation)
            q4_watch_lasted(here, start);
    }
    if (here->operation == NULL || start - here->start > Q4_WATCH_MOST_TICKS)
        first_look(slot, start, here->tid);
    return start;
}

static void begin(const void *node, const void *second) {
    struct q4_watch_thread *here = &q4_watch_here;
    uint64_t graph = atomic_load_explicit(&q4_watch.n_graphs, memory_order_relaxed);
    struct q4_watch_slot *slot = here->slot;
    if ((slot == NULL || here->graph != graph) && (slot = join(here, graph)) == NULL)
        return;
    bool waited = here->operation && here->waited;
    here->start = here->end = next_start(here, slot);
    here->node = here->call ? q4_watch_node(slot, node, second) : q4_watch_address(node, second);
    here->wait = 0;
    here->waited = false;
    const struct q4_watch_operation record = q4_watch_packed(here->node, 0, 0);
    here->operation = add(slot, &record, 1);
    if (slot->readings && here->operation)
        q4_watch_count_operation(slot, waited);
}

static bool watched(void) { return q4_watch.operations && atomic_load_explicit(&q4_watch.ready, memory_order_acquire); }

// These two are no public functions, so another version may give them other arguments. All that may come in registers
// is handed on, with what returns; and the first time it is seen whether the arguments are nodes of the call's graph.
typedef uintptr_t forward(void *, void *, void *, void *, void *, void *);

enum form { NOT_SEEN, KNOWN, ANOTHER };

static bool is_known(_Atomic enum form *form, const char *name, const void *node, const void *second) {
    enum form seen = atomic_load_explicit(form, memory_order_relaxed);
    if (seen != NOT_SEEN || q4_watch_here.called_graph == NULL) // other threads look into no node
        return seen != ANOTHER;
    void *graph = q4_watch_here.called_graph;
    bool known = q4_watch_is_of_graph(graph, node) && (second == NULL || q4_watch_is_of_graph(graph, second));
    atomic_store(form, known ? KNOWN : ANOTHER);
    if (!known) {
        q4_watch_note("unknown", name);
        q4_watch.operations = q4_watch.with_operations = false;
    }
    return known;
}

EXPORT forward ggml_cpu_extra_compute_forward, ggml_compute_forward_rms_norm_mul_fused;

uintptr_t ggml_cpu_extra_compute_forward(void *params, void *node, void *c, void *d, void *e, void *f) {
    static q4_watch_real_cache cache;
    static _Atomic enum form form;
    forward *real;
    *(void **)&real = q4_watch_real(&cache, __func__, CALLER);
    if (watched() && is_known(&form, __func__, node, NULL))
        begin(node, NULL);
    return real ? real(params, node, c, d, e, f) : 0;
}

uintptr_t ggml_compute_forward_rms_norm_mul_fused(void *params, void *norm, void *mul, void *d, void *e, void *f) {
    static q4_watch_real_cache cache;
    static _Atomic enum form form;
    forward *real;
    *(void **)&real = q4_watch_real(&cache, __func__, CALLER);
    if (watched() && is_known(&form, __func__, norm, mul))
        begin(norm, mul);
    return real ? real(params, norm, mul, d, e, f) : 0;
}

// Behind the first barrier of a graph all threads that take part in it have joined.
static enum q4_watch_company company_of(const struct q4_watch_thread *here) {
    return atomic_load(&q4_watch.n_joined) == here->n_joined + 1 ? Q4_WATCH_ALONE : Q4_WATCH_TOGETHER;
}

EXPORT void ggml_barrier(void *pool) {
    static q4_watch_real_cache cache;
    void (*real)(void *);
    *(void **)&real = q4_watch_real(&cache, __func__, CALLER);
    if (real == NULL)
        return;
    struct q4_watch_thread *here = &q4_watch_here;
    struct q4_watch_slot *slot = here->slot;
    if (!watched() || here->operation == NULL || (here->company == Q4_WATCH_ALONE && slot->readings == NULL)) {
        real(pool);
        return;
    }
    q4_ticks entered = q4_stamp(q4_watch.ticking);
    if (slot->readings)
        q4_watch_count_wait(slot);
    real(pool);
    if (slot->readings)
        q4_watch_count_waited(slot);
    q4_ticks left = q4_stamp(q4_watch.ticking);
    here->wait += left - entered;
    q4_watch_lasted(here, left);
    here->waited = true;
    if (here->company == Q4_WATCH_NOT_KNOWN)
        here->company = company_of(here);
}

// ---- graphs -------------------------------------------------------------------------------------

// A part of a call: one of several where some operations are done elsewhere.
EXPORT int ggml_graph_compute(void *graph, void *plan) {
    static q4_watch_real_cache cache;
    int (*real)(void *, void *);
    *(void **)&real = q4_watch_real(&cache, __func__, CALLER);
    q4_watch_begin_graph();
    int status = real ? real(graph, plan) : -1;
    q4_watch_here.company = Q4_WATCH_TOGETHER;
    return status;
}

EXPORT int ggml_backend_sched_graph_compute_async(void *scheduler, void *graph) {
    static q4_watch_real_cache cache;
    int (*real)(void *, void *);
    *(void **)&real = q4_watch_real(&cache, __func__, CALLER);
    if (real == NULL)
        return -1;
    q4_watch_graph_begin(scheduler, graph, CALLER);
    int status = real(scheduler, graph);
    q4_watch_graph_end(status);
    return status;
}

// ---- calls --------------------------------------------------------------------------------------

// A function with a context and a batch, of which `known` is a struct llama_batch that may be looked into, or NULL.
#define EVALUATES(NAME, TYPE, KIND, KNOWN)                                                                             \
    int NAME(void *context, TYPE batch) {                                                                              \
        static q4_watch_real_cache cache;                                                                              \
        int (*real)(void *, TYPE);                                                                                     \
        *(void **)&real = q4_watch_real(&cache, __func__, CALLER);                                                     \
        if (real == NULL)                                                                                              \
            return -1;                                                                                                 \
        int outermost = q4_watch_enter(context, KNOWN, KIND, CALLER);                                                  \
        int status = real(context, batch);                                                                             \
        q4_watch_leave(outermost, status);                                                                             \
        return status;                                                                                                 \
    }

typedef int evaluates(void *context, struct llama_batch batch);

EXPORT evaluates llama_decode, llama_encode;

EVALUATES(llama_decode, struct llama_batch, Q4_WATCH_DECODE, &batch)
EVALUATES(llama_encode, struct llama_batch, Q4_WATCH_ENCODE, &batch)

// llama_context::decode(llama_batch const&) and encode, which those two call: seen too where a program asks the library
// itself for llama_decode, as Python's ctypes does. Those of llama_batch_ext are what llama_process calls in newer
// versions, and the others in turn; what is in such a batch only the library knows.
typedef int member(void *context, const void *batch);

EXPORT member _ZN13llama_context6decodeERK11llama_batch, _ZN13llama_context6encodeERK11llama_batch;
EXPORT member _ZN13llama_context6decodeERK15llama_batch_ext, _ZN13llama_context6encodeERK15llama_batch_ext;

EVALUATES(_ZN13llama_context6decodeERK11llama_batch, const void *, Q4_WATCH_DECODE, batch)
EVALUATES(_ZN13llama_context6encodeERK11llama_batch, const void *, Q4_WATCH_ENCODE, batch)
EVALUATES(_ZN13llama_context6decodeERK15llama_batch_ext, const void *, Q4_WATCH_DECODE, NULL)
EVALUATES(_ZN13llama_context6encodeERK15llama_batch_ext, const void *, Q4_WATCH_ENCODE, NULL)

// llama_context::process_ubatch(llama_ubatch const&, llm_graph_type, llama_memory_context_i*, ggml_status&): the part
// of a batch that a graph evaluates.
typedef void *process(void *context, const struct q4_watch_part *part, uintptr_t type, void *memory, void *status);

EXPORT process
    _ZN13llama_context14process_ubatchERK12llama_ubatch14llm_graph_typeP22llama_memory_context_iR11ggml_status;

void *_ZN13llama_context14process_ubatchERK12llama_ubatch14llm_graph_typeP22llama_memory_context_iR11ggml_status(
    void *context, const struct q4_watch_part *part, uintptr_t type, void *memory, void *status) {
    static q4_watch_real_cache cache;
    process *real;
    *(void **)&real = q4_watch_real(&cache, __func__, CALLER);
    if (real == NULL)
        return NULL;
    q4_watch_next_part(part);
    void *result = real(context, part, type, memory, status);
    q4_watch_next_part(NULL);
    return result;
}

// ---- for programs that know that they are watched -----------------------------------------------

// What is recorded from here on: 0 nothing, 1 calls, 2 operations too where the command asked for them. Not while
// another thread is in a call.
EXPORT void q4_watch_record(int what);

void q4_watch_record(int what) {
    if (!q4_watch_start())
        return;
    atomic_store(&q4_watch.paused, what < 1);
    atomic_store(&q4_watch.operations, what > 1 && q4_watch.with_operations);
}
