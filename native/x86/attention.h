// Template: attention (ops/attention.c has the arithmetic). Includer: vec_*.h first, then ISA.
//
// Queries are taken in groups: consecutive rows of (token, head), each of which sees as many positions as the one
// before or more. Every key and value is loaded and converted to fp32 once for a group, and all groups of a tile meet a
// block of the cache before the next one, so that it stays in L1. Scores and the sum of values are the same small
// product, out[row][lane] = sum over j, in order, of a[row][j] * b[j][lane]: of the query with keys (j: dimension,
// lanes: positions), then of the weights with values (j: position, lanes: dimensions).
#include "../ops/attention_block.h"
#include "kernel.h"
#include "vec_math.h"

#define ROWS 6                       // of a group
#define WIDE (LANES == 16 ? 4 : 2)   // vectors of lanes at once: ROWS * WIDE accumulators
#define TILE_ROWS (8 * ROWS)         // at most, of heads of up to 64
#define TILE_FLOATS (TILE_ROWS * 80) // room for them; a row of 64 and 16 more, see row_stride
#define POSITION_VECTORS (Q4_KV_BLOCK / LANES)
#define FALLBACK Q4_JOIN(q4_attention, ISA) // the compiled C, for head sizes that are not whole vectors

_Static_assert(ROWS *(Q4_MAX_HEAD_DIM + 16) <= TILE_FLOATS, "a group fits a tile");

void FALLBACK(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args);

// Rows that meet each block of a span together. Lanes behind a group's maxima and sums may be read, and mean nothing.
struct tile {
    size_t n_rows, dim, stride;
    q4_attn_view view[TILE_ROWS];
    float logit_cap;
    float max[TILE_ROWS + 16], sum[TILE_ROWS + 16];
    float q[TILE_FLOATS], total[TILE_FLOATS]; // [row][stride]
};

// One group at one block.
struct step {
    size_t row, n_rows;      // of the tile
    q4_attn_view seen[ROWS]; // positions of the block that a row sees, at least one
    size_t ahead; // elements from a block's keys or values to the next block's, to be asked for; 0: they are not
    float weights[ROWS][Q4_KV_BLOCK];         // scores before
    float max[16], sum[16], old[16], new[16]; // the block's; factors of what was before and of this
};

// Not a power of two, which would share few sets of L1.
static inline size_t row_stride(size_t dim) { return dim + 16; }

// What becomes of a product: it is stored, or folded into what was before.
struct fold {
    const float *old, *new; // factors of the rows, or NULL
};

// a, out: rows that are a_stride and out_stride floats apart; b: b_stride elements from one j to the next.
static ALWAYS_INLINE void product(float *out, size_t out_stride, const float *a, size_t a_stride, const uint16_t *b,
                                  size_t b_stride, size_t n_j, size_t n_rows, size_t vectors, struct fold fold,
                                  size_t ahead) {
    vf acc[ROWS][WIDE];
    UNROLLED (r, n_rows)
        UNROLLED (v, vectors)
            acc[r][v] = vf_zero();
    for (size_t j = 0; j < n_j; j++, b += b_stride, a++) {
        vf lanes[WIDE];
        if (ahead)
            UNROLLED (v, vectors)
                _mm_prefetch((const char *)(b + ahead + v * LANES), _MM_HINT_T0);
        UNROLLED (v, vectors)
            lanes[v] = vf_load_halves(b + v * LANES);
        UNROLLED (r, n_rows) {
            vf x = vf_all(a[r * a_stride]);
            UNROLLED (v, vectors)
                acc[r][v] = vf_fma(x, lanes[v], acc[r][v]);
        }
    }
    UNROLLED (r, n_rows)
        UNROLLED (v, vectors) {
            float *at = out + r * out_stride + v * LANES;
            if (fold.old)
                acc[r][v] = vf_fma(acc[r][v], vf_all(fold.new[r]), vf_mul(vf_load(at), vf_all(fold.old[r])));
            vf_store(at, acc[r][v]);
        }
}

#define EACH_ROW_COUNT(n, CALL)                                                                                        \
    switch (n) {                                                                                                       \
    case 1:                                                                                                            \
        CALL(1);                                                                                                       \
        break;                                                                                                         \
    case 2:                                                                                                            \
        CALL(2);                                                                                                       \
        break;                                                                                                         \
    case 3:                                                                                                            \
        CALL(3);                                                                                                       \
        break;                                                                                                         \
    case 4:                                                                                                            \
        CALL(4);                                                                                                       \
        break;                                                                                                         \
    case 5:                                                                                                            \
        CALL(5);                                                                                                       \
        break;                                                                                                         \
    case 6:                                                                                                            \
        CALL(6);                                                                                                       \
        break;                                                                                                         \
    }

// As many vectors of positions as the rows see; where the block is cut and the group is whole, no more.
static void block_scores(const struct tile *tile, struct step *s, const uint16_t *k) {
    const float *q = tile->q + s->row * tile->stride;
    size_t n = s->seen[s->n_rows - 1].end, step = WIDE * LANES;
    const struct fold none = {NULL, NULL};
#define SCORES(N, VECTORS)                                                                                             \
    product(s->weights[0] + t, Q4_KV_BLOCK, q, tile->stride, k + t, Q4_KV_BLOCK, tile->dim, N, VECTORS, none, s->ahead)
#define SCORES_WIDE(N) SCORES(N, WIDE)
    for (size_t t = s->seen[0].first / step * step; t < n; t += step) {
        size_t vectors = (n - t + LANES - 1) / LANES;
        if (s->n_rows == ROWS && vectors == 1)
            SCORES(ROWS, 1);
        else if (s->n_rows == ROWS && vectors == 2)
            SCORES(ROWS, 2);
        else if (s->n_rows == ROWS && vectors == 3 && WIDE == 4)
            SCORES(ROWS, 3 % (WIDE + 1));
        else
            EACH_ROW_COUNT(s->n_rows, SCORES_WIDE)
    }
}

static void block_values(struct tile *tile, const struct step *s, const uint16_t *v, bool first) {
    size_t d = 0, dim = tile->dim, from = s->seen[0].first, n = s->seen[s->n_rows - 1].end - from;
    float *total = tile->total + s->row * tile->stride;
    // Where a row sees less than the others, weights of 0 leave its sums as they are: these are never -0.
#define VALUES(N)                                                                                                      \
    product(total + d, tile->stride, s->weights[0] + from, Q4_KV_BLOCK, v + from * dim + d, dim, n, N, vectors, fold,  \
            s->ahead)
    if (first) {
        const struct fold fold = {NULL, NULL};
        for (const size_t vectors = WIDE; d + WIDE * LANES <= dim; d += WIDE * LANES)
            EACH_ROW_COUNT(s->n_rows, VALUES)
        for (const size_t vectors = 1; d < dim; d += LANES)
            EACH_ROW_COUNT(s->n_rows, VALUES)
    } else {
        const struct fold fold = {s->old, s->new};
        for (const size_t vectors = WIDE; d + WIDE * LANES <= dim; d += WIDE * LANES)
            EACH_ROW_COUNT(s->n_rows, VALUES)
        for (const size_t vectors = 1; d < dim; d += LANES)
            EACH_ROW_COUNT(s->n_rows, VALUES)
    }
}

// Lanes of positions that are not seen hold anything, and may afterwards.
static void cap_scores(float scores[Q4_KV_BLOCK], float cap) {
    UNROLLED (v, POSITION_VECTORS)
        vf_store(scores + v * LANES, vf_soft_cap(vf_load(scores + v * LANES), cap));
}

// q4_block_softmax. Absent positions count as -infinity, whose weight rounds to 0 in fp16.
static ALWAYS_INLINE void block_softmax(float weights[Q4_KV_BLOCK], q4_attn_view seen, float *max, float *sum) {
    vf x[POSITION_VECTORS];
    size_t n = seen.end;
    for (size_t t = 0; t < seen.first; t++)
        weights[t] = -INFINITY;
    UNROLLED (v, POSITION_VECTORS)
        x[v] = n < Q4_KV_BLOCK ? vf_first_or(weights + v * LANES, n > v * LANES ? n - v * LANES : 0, -INFINITY)
                               : vf_load(weights + v * LANES);
    vf largest = x[0];
    UNROLLED (v, POSITION_VECTORS)
        largest = vf_max(largest, x[v]);
    *max = vf_largest(largest);
    UNROLLED (v, POSITION_VECTORS) {
        x[v] = vf_round_half(vf_exp_above(vf_max(vf_sub(x[v], vf_all(*max)), vf_all(-87.0f))));
        vf_store(weights + v * LANES, x[v]);
    }
    vf s[16 / LANES];
    UNROLLED (j, 16 / LANES) {
        s[j] = vf_add(x[j], x[j + 16 / LANES]);
        s[j] = vf_add(vf_add(s[j], x[j + 32 / LANES]), x[j + 48 / LANES]);
    }
    *sum = vf_fold16(s);
}

// The block's maxima and sums join what was before, of all rows at once (q4_attn_merge).
static void merge_states(struct tile *tile, struct step *s) {
    for (size_t r = 0; r < s->n_rows; r += LANES) {
        float *max = tile->max + s->row + r, *sum = tile->sum + s->row + r;
        vf a = vf_load(max), b = vf_load(s->max + r), both = vf_max(b, a); // a where they are equal
        vf old = vf_exp(vf_sub(a, both)), new = vf_exp(vf_sub(b, both));
        vf_store(s->old + r, old);
        vf_store(s->new + r, new);
        vf_store_first(max, s->n_rows - r, both);
        vf_store_first(sum, s->n_rows - r, vf_fma(vf_load(s->sum + r), new, vf_mul(vf_load(sum), old)));
    }
}

// The group at the block that starts at p, which is the first one of its rows or joins what there is of them.
static void attend_block(struct tile *tile, struct step *s, size_t p, bool first, const q4_attn_args *args) {
    const q4_attn_view whole = {0, Q4_KV_BLOCK};
    block_scores(tile, s, args->keys + p * tile->dim);
    for (size_t r = 0; tile->logit_cap != 0.0f && r < s->n_rows; r++)
        cap_scores(s->weights[r], tile->logit_cap);
    if (s->seen[0].end == whole.end && s->seen[s->n_rows - 1].first == whole.first)
        for (size_t r = 0; r < s->n_rows; r++)
            block_softmax(s->weights[r], whole, &s->max[r], &s->sum[r]);
    else
        for (size_t r = 0; r < s->n_rows; r++)
            block_softmax(s->weights[r], s->seen[r], &s->max[r], &s->sum[r]);
    if (!first) {
        merge_states(tile, s);
    } else {
        memcpy(tile->max + s->row, s->max, s->n_rows * sizeof(float));
        memcpy(tile->sum + s->row, s->sum, s->n_rows * sizeof(float));
    }
    block_values(tile, s, args->values + p * tile->dim, first);
}

// Rows whose windows start in other blocks than the first row's: nothing so far, which a block joins with its own bits.
static void clear_rows(struct tile *tile) {
    for (size_t r = 0; r < tile->n_rows; r++) {
        tile->max[r] = -INFINITY;
        tile->sum[r] = 0.0f;
        memset(tile->total + r * tile->stride, 0, tile->dim * sizeof(float));
    }
}

static void attend_tile(struct tile *tile, const q4_attn_args *args) {
    size_t first = 0, end = tile->n_rows, last = tile->view[end - 1].end, start = q4_attn_first_block(tile->view[0]);
    bool together = start == q4_attn_first_block(tile->view[end - 1]);
    struct step s;
    if (!together)
        clear_rows(tile);
    // the first values are on their way while the first keys are multiplied
    for (size_t i = 0; i < q4_min_size(last - start, Q4_KV_BLOCK) * tile->dim; i += 64 / sizeof *args->values)
        _mm_prefetch((const char *)(args->values + start * tile->dim + i), _MM_HINT_T0);
    for (size_t p = start; p < last; p += Q4_KV_BLOCK) {
        // behind a whole span lies the next one
        bool more = p + Q4_KV_BLOCK < last || last == Q4_KV_SPAN;
        s.ahead = more ? Q4_KV_BLOCK * tile->dim : 0; // for the first group: the others find the block in L1
        while (tile->view[first].end <= p)
            first++;
        for (end = tile->n_rows; tile->view[end - 1].first >= p + Q4_KV_BLOCK;)
            end--;
        for (s.row = first; s.row < end; s.row += s.n_rows, s.ahead = 0) {
            s.n_rows = q4_min_size(ROWS - s.row % ROWS, end - s.row);
            for (size_t r = 0; r < s.n_rows; r++)
                s.seen[r] = q4_attn_view_in_block(tile->view[s.row + r], p);
            attend_block(tile, &s, p, together && p == start, args);
        }
    }
}

void Q4_JOIN(q4_attention_grouped, ISA)(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args) {
    size_t dim = args->head_dim, n = args->n_tokens * args->n_heads;
    if (dim % LANES) {
        FALLBACK(acc, states, q, args);
        return;
    }
    struct tile tile; // large: what is not used is not cleared
    tile.dim = dim;
    tile.stride = row_stride(dim);
    tile.logit_cap = args->logit_cap;
    size_t most = q4_min_size(TILE_ROWS, TILE_FLOATS / tile.stride / ROWS * ROWS);
    for (size_t first = 0; first < n; first += tile.n_rows) {
        tile.n_rows = q4_min_size(most, n - first);
        for (size_t r = 0; r < tile.n_rows; r++) {
            size_t token = (first + r) / args->n_heads, head = (first + r) % args->n_heads;
            const float *from = q + token * args->q_stride + head * dim;
            tile.view[r] = q4_attn_view_of(args, token);
            for (size_t d = 0; d < dim; d += LANES)
                vf_store(tile.q + r * tile.stride + d, vf_round_half(vf_mul(vf_load(from + d), vf_all(args->scale))));
        }
        attend_tile(&tile, args);
        for (size_t r = 0; r < tile.n_rows; r++) {
            size_t token = (first + r) / args->n_heads, head = (first + r) % args->n_heads;
            states[first + r] = (q4_attn_state){tile.max[r], tile.sum[r]};
            memcpy(acc + token * args->acc_stride + head * dim, tile.total + r * tile.stride, dim * sizeof(float));
        }
    }
}
