#define _GNU_SOURCE
#include "tensors.h"

#include "op_counts.h"
#include "real_functions.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEN ((size_t)1 << 15) // a power of two
#define ORDER ((size_t)1 << 14)
#define SOURCES 3         // that are described: no operation of a language model has more that matter
#define TENSOR_BYTES 1024 // no tensor is longer

// ggml_init takes this by value. Source: ggml.h, the same since 2023.
struct init_params {
    size_t mem_size;
    void *mem_buffer;
    bool no_alloc;
};

static struct {
    const char *(*get_name)(const void *tensor);
    const char *(*op_desc)(const void *tensor);
    const char *(*type_name)(int type);
    size_t (*nbytes)(const void *tensor);
    int64_t (*nelements)(const void *tensor);
    void *(*get_data)(const void *tensor);
    void *(*graph_tensor)(void *graph, const char *name);
    void (*tensor_get)(const void *tensor, void *data, size_t offset, size_t size);
    void *(*init)(struct init_params params);
    void (*release)(void *context);
    void *(*new_tensor)(void *context, int type, int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3);
    void *(*mul_mat)(void *context, void *a, void *b);
    int (*n_nodes)(void *graph); // these may be missing
    void *(*graph_node)(void *graph, int i);
    void (*set_output)(void *tensor);
} ggml;

// Where a tensor's fields are, in bytes. Found in tensors that ggml makes for us, so that no version's layout is taken
// for granted.
static struct {
    bool known;
    size_t type, ne, src, flags; // flags: SIZE_MAX where they are not known
} field;

// ---- what this ggml is --------------------------------------------------------------------------

static bool find_functions(const void *caller) {
    const struct {
        void *to;
        const char *name;
    } wanted[] = {
        {&ggml.get_name, "ggml_get_name"},
        {&ggml.op_desc, "ggml_op_desc"},
        {&ggml.type_name, "ggml_type_name"},
        {&ggml.nbytes, "ggml_nbytes"},
        {&ggml.nelements, "ggml_nelements"},
        {&ggml.get_data, "ggml_get_data"},
        {&ggml.graph_tensor, "ggml_graph_get_tensor"},
        {&ggml.tensor_get, "ggml_backend_tensor_get"},
        {&ggml.init, "ggml_init"},
        {&ggml.release, "ggml_free"},
        {&ggml.new_tensor, "ggml_new_tensor_4d"},
        {&ggml.mul_mat, "ggml_mul_mat"},
    };
    bool all = true;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        *(void **)wanted[i].to = q4_watch_symbol(wanted[i].name, caller);
        if (*(void **)wanted[i].to == NULL) {
            q4_watch_note("lacks", wanted[i].name);
            all = false;
        }
    }
    *(void **)&ggml.n_nodes = q4_watch_symbol("ggml_graph_n_nodes", caller);
    *(void **)&ggml.graph_node = q4_watch_symbol("ggml_graph_node", caller);
    *(void **)&ggml.set_output = q4_watch_symbol("ggml_set_output", caller);
    return all;
}

// The one place at which both tensors hold what is expected of them; SIZE_MAX: there is none, or several.
static size_t place(const char *one, const void *in_one, const char *two, const void *in_two, size_t bytes,
                    size_t step) {
    size_t found = SIZE_MAX;
    for (size_t at = 0; at + bytes <= 400; at += step) {
        if (memcmp(one + at, in_one, bytes) != 0 || memcmp(two + at, in_two, bytes) != 0)
            continue;
        if (found != SIZE_MAX)
            return SIZE_MAX;
        found = at;
    }
    return found;
}

// The one word of a new tensor that setting a flag changes.
static size_t place_of_flags(char *tensor) {
    char before[400];
    if (ggml.set_output == NULL)
        return SIZE_MAX;
    memcpy(before, tensor, sizeof before);
    ggml.set_output(tensor);
    size_t found = SIZE_MAX;
    for (size_t at = 0; at < sizeof before; at += sizeof(int)) {
        if (memcmp(before + at, tensor + at, sizeof(int)) == 0)
            continue;
        if (found != SIZE_MAX)
            return SIZE_MAX;
        found = at;
    }
    return found;
}

static bool find_fields(void) {
    enum { F16 = 1, Q8_0 = 8 }; // numbers of types, as GGUF files have them
    static _Alignas(64) char memory[1 << 16];
    void *context = ggml.init((struct init_params){sizeof memory, memory, true});
    if (context == NULL)
        return false;
    const int64_t ne_a[] = {64, 5, 7, 11}, ne_b[] = {64, 3, 7, 11};
    char *a = ggml.new_tensor(context, Q8_0, ne_a[0], ne_a[1], ne_a[2], ne_a[3]);
    char *b = ggml.new_tensor(context, F16, ne_b[0], ne_b[1], ne_b[2], ne_b[3]);
    char *product = ggml.mul_mat(context, a, b), *swapped = ggml.mul_mat(context, b, a);
    if (a && b && product && swapped) {
        const int types[] = {Q8_0, F16};
        const void *sources[] = {a, b}, *exchanged[] = {b, a};
        field.type = place(a, &types[0], b, &types[1], sizeof(int), sizeof(int));
        field.ne = place(a, ne_a, b, ne_b, sizeof ne_a, 8);
        field.src = place(product, sources, swapped, exchanged, sizeof sources, 8);
        field.flags = place_of_flags(a);
    }
    ggml.release(context);
    return a && b && product && swapped && field.type < TENSOR_BYTES && field.ne < TENSOR_BYTES &&
           field.src < TENSOR_BYTES;
}

static const int64_t *ne_of(const char *tensor) { return (const int64_t *)(const void *)(tensor + field.ne); }

static const char *source(const char *tensor, size_t i) {
    return ((const char *const *)(const void *)(tensor + field.src))[i];
}

// ---- nodes --------------------------------------------------------------------------------------

static uint64_t mixed(uint64_t sum, uint64_t word) { return (sum ^ word) * 0x9e3779b97f4a7c15u; }

static uint64_t shape_of(const char *tensor, uint64_t sum) {
    for (int i = 0; i < 4; i++)
        sum = mixed(sum, (uint64_t)ne_of(tensor)[i]);
    return sum;
}

// All but the name. Each tensor's words are mixed by themselves, so that the CPU does it side by side.
static uint64_t form_of(const char *node) {
    uint64_t sum = shape_of(node, 1);
    for (size_t i = 0; i < SOURCES; i++) {
        const char *from = source(node, i);
        sum = mixed(sum, from ? shape_of(from, (uintptr_t)from) : 0);
    }
    return sum;
}

static uint64_t named(const char *node, uint64_t sum) {
    uint64_t name[4];
    memcpy(name, ggml.get_name(node), sizeof name); // which is longer
    for (int i = 0; i < 4; i++)
        sum = mixed(sum, name[i]);
    return sum;
}

static bool is_described(struct q4_watch_slot *slot, uint64_t node, uint64_t now) {
    if (slot->n_seen > SEEN / 2) {
        memset(slot->seen, 0, SEEN * sizeof *slot->seen);
        slot->n_seen = 0;
    }
    size_t at = (size_t)(mixed(0, node) >> 40) & (SEEN - 1);
    while (slot->seen[at].node && slot->seen[at].node != node)
        at = (at + 1) & (SEEN - 1);
    bool known = slot->seen[at].node == node && slot->seen[at].content == now;
    slot->n_seen += slot->seen[at].node == 0;
    slot->seen[at] = (struct q4_watch_seen){node, now};
    return known;
}

static struct q4_watch_place *next_place(struct q4_watch_slot *slot) {
    if (slot->at == ORDER)
        return NULL;
    struct q4_watch_place *here = &slot->order[slot->at++];
    // Between two operations weights have gone through the caches.
    __builtin_prefetch(here + 3);
    return here;
}

static bool has_tables(struct q4_watch_slot *slot) {
    if (slot->seen == NULL)
        slot->seen = calloc(SEEN, sizeof *slot->seen);
    if (slot->order == NULL)
        slot->order = calloc(ORDER, sizeof *slot->order);
    return slot->seen && slot->order;
}

// Whether the slot's log has the node as it is now; it is taken to have it from here on. A graph is mostly like the one
// before, so the node is looked for at its place there: by its address it stands anywhere, and in no cache any more.
// Nor does its name: as long as all nodes of this graph were those of the one before, with the same sources, so are
// their names.
static bool is_known(struct q4_watch_slot *slot, uint64_t address, const char *node, const char *second) {
    if (!has_tables(slot))
        return true;
    struct q4_watch_place *here = next_place(slot);
    uint64_t form = form_of(node);
    if (second)
        form = mixed(form, form_of(second));
    if (here && here->node == address && here->form == form && !slot->another)
        return true;
    uint64_t content = named(node, form);
    if (second)
        content = named(second, content);
    if (here && here->node == address && here->content == content)
        return true;
    slot->another = true;
    if (here)
        *here = (struct q4_watch_place){address, form, content};
    return is_described(slot, address, content);
}

static size_t line(char *text, size_t size, const char *role, const char *tensor) {
    char name[80];
    snprintf(name, sizeof name, "%s", ggml.get_name(tensor));
    for (char *c = name; *c; c++)
        if (*c == '\t' || *c == '\n')
            *c = ' ';
    int type;
    memcpy(&type, tensor + field.type, sizeof type);
    const char *type_name = ggml.type_name(type);
    const int64_t *ne = ne_of(tensor);
    int n = snprintf(text, size, "%s\t%s\t%s\t%s\t%lld\t%lld\t%lld\t%lld\t%zu\t%llu\n", role, ggml.op_desc(tensor),
                     name, type_name ? type_name : "?", (long long)ne[0], (long long)ne[1], (long long)ne[2],
                     (long long)ne[3], ggml.nbytes(tensor), (unsigned long long)(uintptr_t)ggml.get_data(tensor));
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static size_t lines(char *text, size_t size, const char *role, const char *node) {
    size_t n = line(text, size, role, node);
    for (size_t i = 0; i < SOURCES; i++)
        if (source(node, i))
            n += line(text + n, size - n, "from", source(node, i));
    return n;
}

uint64_t q4_watch_node(struct q4_watch_slot *slot, const void *node, const void *second) {
    uint64_t address = q4_watch_address(node, second);
    if (!field.known)
        return address;
    if (is_known(slot, address, node, second))
        return address;
    char text[4096];
    size_t n = lines(text, sizeof text / 2, "node", node);
    if (second)
        n += lines(text + n, sizeof text / 2, "then", second);
    q4_watch_log(Q4_WATCH_NODE, &address, sizeof address, text, n);
    slot->described = true;
    return address;
}

void q4_watch_next_graph(struct q4_watch_slot *slot) {
    if (slot->at < slot->n_order) // its rest is not of the last graph, and may have changed since
        memset(&slot->order[slot->at], 0, (slot->n_order - slot->at) * sizeof *slot->order);
    slot->n_order = slot->at;
    slot->at = 0;
    slot->described = slot->another = false;
}

// ---- graphs -------------------------------------------------------------------------------------

static int n_nodes(void *graph) { return ggml.n_nodes && ggml.graph_node ? ggml.n_nodes(graph) : 0; }

bool q4_watch_is_of_graph(void *graph, const void *node) {
    int n = graph ? n_nodes(graph) : 0;
    for (int i = 0; i < n; i++)
        if (ggml.graph_node(graph, i) == node)
            return true;
    return n == 0;
}

// Whether ggml carries it out: views and what is empty are skipped.
static bool is_work(const char *node) {
    static const char *const skipped[] = {"NONE", "RESHAPE", "VIEW", "PERMUTE", "TRANSPOSE"};
    for (size_t i = 0; i < sizeof skipped / sizeof *skipped; i++)
        if (strcmp(ggml.op_desc(node), skipped[i]) == 0)
            return false;
    return ggml.nelements(node) != 0;
}

static unsigned flags_of(const char *node) {
    unsigned flags = 0;
    if (field.flags < TENSOR_BYTES)
        memcpy(&flags, node + field.flags, sizeof flags);
    return flags;
}

static bool is_seen(const struct q4_watch_slot *slot, size_t row, const char *node) {
    return row < slot->at && (slot->order[row].node & ~(uint64_t)1) == q4_watch_address(node, NULL);
}

// Flags that all nodes have which were seen: ggml carries out none that lacks one of them.
static unsigned needed_flags(const struct q4_watch_slot *slot, void *graph) {
    unsigned flags = UINT_MAX;
    size_t row = 0;
    for (int i = 0; i < n_nodes(graph); i++) {
        const char *node = ggml.graph_node(graph, i);
        if (is_seen(slot, row, node)) {
            flags &= flags_of(node);
            row++;
        }
    }
    return row ? flags : 0;
}

// "N of M operations (ROPE, …)", the first few of them; N. -1: what was seen is not of this graph.
static int unseen(const struct q4_watch_slot *slot, void *graph, char *text, size_t size) {
    char names[200] = "";
    size_t row = 0;
    int n_unseen = 0, n_work = 0;
    bool with_next = false; // the multiplication behind a norm
    unsigned needed = needed_flags(slot, graph);
    for (int i = 0; i < n_nodes(graph); i++) {
        const char *node = ggml.graph_node(graph, i);
        bool counts = is_work(node) && (flags_of(node) & needed) == needed;
        n_work += counts;
        if (is_seen(slot, row, node)) {
            with_next = slot->order[row].node & 1;
            row++;
        } else if (counts && with_next && strcmp(ggml.op_desc(node), "MUL") == 0) {
            with_next = false;
        } else if (counts) {
            size_t used = strlen(names);
            if (n_unseen++ < 4)
                snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", ggml.op_desc(node));
        }
    }
    snprintf(text, size, "%d of %d operations (%s%s)", n_unseen, n_work, names, n_unseen > 4 ? ", …" : "");
    return row == slot->at ? n_unseen : -1;
}

void q4_watch_tell_unseen(const struct q4_watch_slot *slot, void *graph) {
    static _Atomic bool told;
    char text[300];
    if (!slot->described || slot->at == 0 || slot->at >= ORDER || atomic_load(&told))
        return;
    if (unseen(slot, graph, text, sizeof text) > 0 && !atomic_exchange(&told, true))
        q4_watch_note("unseen", text);
}

// ---- inputs -------------------------------------------------------------------------------------

void q4_watch_inputs(struct q4_watch_slot *slot, void *graph, int64_t *n_past, uint64_t *n_eval) {
    *n_past = -1;
    *n_eval = 0;
    if (ggml.graph_tensor == NULL || ggml.nelements == NULL)
        return;
    void *tokens = ggml.graph_tensor(graph, "inp_tokens"), *positions = ggml.graph_tensor(graph, "inp_pos");
    void *vectors = tokens ? NULL : ggml.graph_tensor(graph, "inp_embd");
    if (tokens)
        *n_eval = (uint64_t)ggml.nelements(tokens);
    else if (vectors && field.known)
        *n_eval = (uint64_t)ne_of(vectors)[1];
    if (positions == NULL || ggml.tensor_get == NULL || ggml.get_data == NULL || ggml.get_data(positions) == NULL)
        return;
    uint64_t n = (uint64_t)ggml.nelements(positions);
    if (*n_eval == 0)
        *n_eval = n;
    n = n < *n_eval ? n
                    : *n_eval; // some models give each token several positions, the first row of which is the usual one
    if (slot->positions == NULL && (slot->positions = malloc(Q4_WATCH_POSITIONS * sizeof *slot->positions)) == NULL)
        return;
    n = n < Q4_WATCH_POSITIONS ? n : Q4_WATCH_POSITIONS;
    ggml.tensor_get(positions, slot->positions, 0, n * sizeof *slot->positions);
    int32_t least = INT32_MAX;
    for (uint64_t i = 0; i < n; i++)
        least = slot->positions[i] < least ? slot->positions[i] : least;
    if (n && least >= 0)
        *n_past = least;
}

// ---- learning -----------------------------------------------------------------------------------

#define COST_ROUNDS 500

// What a record of an operation takes: two stamps, a look at the node, the record.
static void measure(struct q4_watch_slot *slot) {
    static _Alignas(64) char node[TENSOR_BYTES];
    struct q4_watch_thread thread = {.wait = 0};
    struct q4_watch_operation record;
    thread.operation = &record;
    volatile uint64_t sink;
    for (size_t i = 0; i + 1 < SOURCES; i++)
        ((const char **)(void *)(node + field.src))[i] = node;
    uint64_t start = 0;
    for (int i = -1; i < COST_ROUNDS; i++) {
        if (i == 0) // what comes with the first is over
            start = q4_now_ns();
        slot->at = 0;
        slot->another = false;
        is_known(slot, 2, node, NULL);
        thread.start = q4_stamp(q4_watch.ticking);
        q4_watch_lasted(&thread, q4_stamp(q4_watch.ticking));
        sink = record.words[1];
    }
    (void)sink;
    uint64_t cost = (q4_now_ns() - start) * 1000 / COST_ROUNDS;
    q4_watch_file_head()->operation_cost = cost + (slot->readings ? q4_watch_count_cost(slot) : 0);
}

void q4_watch_learn_tensors(const void *caller) {
    const char *(*version)(void), *(*commit)(void);
    *(void **)&version = q4_watch_symbol("ggml_version", caller);
    *(void **)&commit = q4_watch_symbol("ggml_commit", caller);
    if (version)
        q4_watch_note("ggml_version", version());
    if (commit)
        q4_watch_note("ggml_commit", commit());
    if (!find_functions(caller))
        return;
    field.known = find_fields();
    if (!field.known)
        q4_watch_note("lacks", "ggml_tensor of a known form");
    else if (q4_watch_slot_here())
        measure(q4_watch_slot_here());
}
