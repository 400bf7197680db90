// The plan: a list of operations over named buffers, which one decode call walks front to back (execute/execute.c).
//
// An operation's *kind* says what it computes; the kind's *class* (execute/operations.c) says which fields it has, how
// they are checked, how its work is cut into units and how one is done. All parameters stand on the operation. What is
// done together with a neighbour is decided once, at load (fuse.c), and written on the operations too.
#ifndef Q4_PLAN_H
#define Q4_PLAN_H

#include "matmul/matmul.h"
#include "ops/ops.h"
#include "threads.h"

#define Q4_NAME_SIZE 96
#define Q4_MAX_LAYERS 65536
#define Q4_MAX_HEADS 65536
#define Q4_MAX_EXPERTS 4096
#define Q4_NONE (-1)
#define Q4_ERROR_SIZE 512

struct q4_model;
struct q4_run;

enum q4_op_kind {
    Q4_OP_EMBED,       // out = table[token]
    Q4_OP_RMS_NORM,    // out = or += norm(source) * vector, `count` pieces of `width` columns each
    Q4_OP_QUANTIZE,    // the quantised forms of source
    Q4_OP_MATMUL,      // out[out_col ..] = or += (weight * source (+ bias)) * scale, capped
    Q4_OP_ROPE,        // rotates `heads` heads of source in place, from source_col on
    Q4_OP_KV_STORE,    // source[key_col ..] and source[value_col ..], all KV heads -> cache of `layer`
    Q4_OP_ATTENTION,   // source[source_col ..]: queries -> out
    Q4_OP_SWIGLU,      // source: gate, then up -> out = activation(gate) * up
    Q4_OP_LAYER_NORM,  // out = (source - mean) / deviation
    Q4_OP_CLAMP,       // source[source_col ..], `width` columns, to +- limit in place
    Q4_OP_ROUTER,      // source: scores of `experts`, perhaps a gate -> out: the `used` ones, their weights, the gate's
    Q4_OP_EXPERTS,     // out[out_col ..] = weight * source, by the matrices of each token's experts
    Q4_OP_EXPERTS_SUM, // out += pieces of source, each times its weight of `routing`
    Q4_OP_PLAIN_KINDS,
    // made of plain ones by fuse.c
    Q4_OP_GATE_UP = Q4_OP_PLAIN_KINDS, // MATMUL, SWIGLU and QUANTIZE of many tokens, a block of columns at a time
    Q4_OP_KINDS
};

// Tokens that GATE_UP takes through at once: whole tiles of any packing.
#define Q4_GATE_UP_TOKENS 192

// ---- fields -------------------------------------------------------------------------------------

enum q4_field_type {
    Q4_FIELD_BUFFER, // int: an index
    Q4_FIELD_WEIGHT,
    Q4_FIELD_VECTOR,
    Q4_FIELD_ANY_VECTOR, // … or Q4_NONE
    Q4_FIELD_TABLE,
    Q4_FIELD_ROPE_TABLE,
    Q4_FIELD_ROPE_STYLE, // int: enum q4_rope_style
    Q4_FIELD_ACTIVATION, // int: enum q4_activation
    Q4_FIELD_SIZE,       // size_t
    Q4_FIELD_FLOAT,
    Q4_FIELD_BOOL,
    Q4_FIELD_TYPES
};

struct q4_field {
    const char *name;
    enum q4_field_type type;
    size_t offset; // in struct q4_op
};

// An entry of a class's list of fields; the list ends with {0}.
#define Q4_FIELD(TYPE, NAME) {#NAME, Q4_FIELD_##TYPE, offsetof(struct q4_op, NAME)}

// ---- classes ------------------------------------------------------------------------------------

// The tokens of the batch that an operation works on, or columns of a buffer.
struct q4_range {
    size_t first, n;
};

struct q4_op;

struct q4_op_class {
    const char *name;
    const struct q4_field *fields;
    // Whether the operation fits its buffers, and asks for nothing that is not implemented; notes what it wants of
    // them. Indices are in range. false: `error` says what is wrong (the operation's name goes before it).
    bool (*check)(struct q4_model *model, const struct q4_op *op, char *error);
    // What it writes of `out`; NULL: all columns.
    struct q4_range (*columns)(const struct q4_model *model, const struct q4_op *op);
    // Units of work for these tokens.
    size_t (*units)(const struct q4_run *run, const struct q4_op *op, struct q4_range range);
    // The most of them that a thread takes at once; NULL: 1.
    size_t (*most)(const struct q4_run *run, const struct q4_op *op, struct q4_range range);
    void (*work)(struct q4_run *run, const struct q4_op *op, struct q4_range range, struct q4_units units, int member);
    // Whether many tokens of it may take seconds: its units are left to themselves where the call is to end.
    bool lasts;
    // Bytes of a thread's scratch; NULL: none.
    size_t (*scratch)(const struct q4_model *model, const struct q4_op *op, size_t n_batch);
};

// How an operation is carried out; written by fuse.c.
struct q4_step {
    const struct q4_op_class *class; // NULL: another operation does it on the way
    const struct q4_op *rotated;     // KV_STORE: the ROPE whose heads a unit turns before it stores
    const struct q4_op *activated;   // GATE_UP: the SWIGLU
    const struct q4_op *quantized;   // the QUANTIZE that a unit does of the columns it has made
};

struct q4_op {
    enum q4_op_kind kind;
    char name[Q4_NAME_SIZE]; // for people: captures, errors
    int layer;               // Q4_NONE outside the layers
    bool last;               // only for the batch's last token, unless all logits are wanted
    // those that the class lists
    int source, out; // buffers
    int routing;     // a buffer too, that a ROUTER has written
    int weight, vector, bias, table;
    int style, activation;
    size_t source_col, out_col, key_col, value_col;
    size_t width, count, heads, kv_heads, head_dim, window, experts, used;
    float scale, eps, logit_cap, limit;
    bool add, normalised;
    // written at load
    const struct q4_op_class *class;  // of its kind
    struct q4_step few, many;         // for at most the model's few_tokens, and for more
    size_t tally;                     // EXPERTS: which of the session's
    const struct q4_op *next_product; // MATMUL: the next one, whose weights may be asked for early
};

// ---- buffers ------------------------------------------------------------------------------------

// A place for activations: `width` floats a token, and the quantised forms that its readers want.
#define Q4_MAX_PACKINGS 4
struct q4_buffer {
    size_t width;
    bool forms[Q4_ACT_FORMS];
    size_t block; // columns in which they can be written: whole blocks of all of them
    const struct q4_act_packing *packings[Q4_MAX_PACKINGS];
    size_t n_packings;
};

// Whether an operation reads, or writes, floats of a buffer.
bool q4_op_reads(const struct q4_op *op, int buffer);
bool q4_op_writes(const struct q4_op *op, int buffer);

// For checks.
bool q4_columns_fit(const struct q4_model *model, int buffer, size_t first, size_t n);
static inline bool q4_scale_fits(float scale) { return scale >= 0x1p-64f && scale <= 0x1p64f; } // not NaN either
static inline bool q4_cap_fits(float cap) { return cap == 0.0f || q4_scale_fits(cap); }         // 0: there is none
bool q4_plan_fail(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));  // false

// Checks every operation's indices, then asks its class (which the caller has set); what all of them together must
// be; and notes which forms each buffer needs. The last operation's `last` is set.
bool q4_plan_check(struct q4_model *model, char *error);

#endif
