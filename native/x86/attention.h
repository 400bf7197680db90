// Template: attention (ops/attention.c has the arithmetic). Includer: vec_*.h first, then ISA, and Q8_0: 1 where keys
// and values are int8 with scales, then with QUANTIZE, which quantises queries; else 0.
//
// Queries are taken in groups: consecutive rows of (token, head), each of which sees as many positions as the one
// before or more. Every key and value is loaded and converted to fp32 once for a group, and all groups of a tile meet a
// block of the cache before the next one, so that it stays in L1. Scores and the sum of values are the same small
// product, out[row][lane] = sum over j, in order, of a[row][j] * b[j][lane]: of the query with keys (j: dimension,
// lanes: positions), then of the weights with values (j: position, lanes: dimensions). Scores of int8 keys are sums of
// products of bytes instead, four dimensions at a time.
#include "../ops/attention_block.h"
#if Q8_0
#include "../ops/kv_q8_0.h"
#endif
#include "kernel.h"
#include "vec_math.h"

#define ROWS 6 // of a group
// Vectors of lanes at once, of so many rows: as many accumulators as there are registers for, so that additions to one
// wait little for each other where rows are few.
#define WIDE(N) (LANES == 16 ? 4 : (N) == 1 ? 8 : (N) <= 3 ? 4 : 2)
#define TILE_ROWS (8 * ROWS)         // at most, of heads of up to 64
#define TILE_FLOATS (TILE_ROWS * 80) // room for them; a row of 64 and 16 more, see row_stride
#define POSITION_VECTORS (Q4_KV_BLOCK / LANES)
#if Q8_0
#define FORM Q4_KV_Q8_0
#define ATTENTION Q4_JOIN(q4_attention_q8_0_grouped, ISA)
typedef int8_t element;

q4_quantizer QUANTIZE;
#else
#define FORM Q4_KV_F16
#define ATTENTION Q4_JOIN(q4_attention_grouped, ISA)
#define FALLBACK Q4_JOIN(q4_attention, ISA) // the compiled C, for head sizes that are not whole vectors
typedef uint16_t element;

void FALLBACK(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args);
#endif

_Static_assert(ROWS *(Q4_MAX_HEAD_DIM + 16) <= TILE_FLOATS, "a group fits a tile");

// Rows that meet each block of a span together. Lanes behind a group's maxima and sums may be read, and mean nothing.
struct tile {
    size_t n_rows, dim, stride;
    q4_attn_view view[TILE_ROWS];
    float logit_cap;
    float max[TILE_ROWS + 16], sum[TILE_ROWS + 16];
    float total[TILE_FLOATS]; // [row][stride]
#if !Q8_0
    float q[TILE_FLOATS]; // likewise
#else
    int8_t q[TILE_FLOATS];
    float q_scales[TILE_ROWS][Q4_MAX_HEAD_DIM / Q4_BLOCK];
    int32_t q_sums[TILE_ROWS][Q4_MAX_HEAD_DIM / Q4_BLOCK];
    // of the block that the rows are at: [dim / Q4_BLOCK][Q4_KV_BLOCK]
    float key_scales[Q4_KV_BLOCK * Q4_MAX_HEAD_DIM / Q4_BLOCK], value_scales[Q4_KV_BLOCK * Q4_MAX_HEAD_DIM / Q4_BLOCK];
#endif
};

// One group at one block.
struct step {
    size_t row, n_rows;      // of the tile
    q4_attn_view seen[ROWS]; // positions of the block that a row sees, at least one
    // Of int8 the next block's, or NULL: they are met in less time than they take to come, so their loop asks for a
    // quarter of the next ones, and the softmax for the rest.
    const char *next_keys;
    size_t ahead; // bytes from a block's keys or values to the next block's, to be asked for; 0: they are not
    float weights[ROWS][Q4_KV_BLOCK]; // scores before
#if Q8_0
    float scaled[2][ROWS][Q4_KV_BLOCK]; // weights by the values' scales, of two times Q4_BLOCK dimensions
#endif
    float max[16], sum[16], old[16], new[16]; // the block's; factors of what was before and of this
};

// Not a power of two, which would share few sets of L1.
static inline size_t row_stride(size_t dim) { return dim + 16; }

// What becomes of a product: it is stored, or folded into what was before.
struct fold {
    const float *old, *new; // factors of the rows, or NULL
};

static ALWAYS_INLINE vf load_lanes(const element *b) {
#if Q8_0
    return vf_from(vi_load_bytes(b));
#else
    return vf_load_halves(b);
#endif
}

#define FACTOR(R, V) vf_all(a[(R) * a_stride + (V) * LANES / Q4_BLOCK * part_stride])

// a, out: rows that are a_stride and out_stride floats apart; of each Q4_BLOCK lanes after the first a has others,
// part_stride floats on. b: b_stride elements from one j to the next.
static ALWAYS_INLINE void product(float *out, size_t out_stride, const float *a, size_t a_stride, size_t part_stride,
                                  const element *b, size_t b_stride, size_t n_j, size_t n_rows, size_t vectors,
                                  struct fold fold, size_t ahead) {
    vf acc[ROWS][8];
    UNROLLED (r, n_rows)
        UNROLLED (v, vectors)
            acc[r][v] = vf_zero();
    for (size_t j = 0; j < n_j; j++, b += b_stride, a++) {
        if (ahead)
            UNROLLED (v, vectors)
                if (v * LANES * sizeof *b % 64 == 0 || !Q8_0)
                    _mm_prefetch((const char *)(b + v * LANES) + ahead, _MM_HINT_T0);
        if (n_rows <= 3) { // what there are less of, lanes or factors, stays in registers
            UNROLLED (v, vectors) {
                vf lanes = load_lanes(b + v * LANES);
                UNROLLED (r, n_rows)
                    acc[r][v] = vf_fma(FACTOR(r, v), lanes, acc[r][v]);
            }
        } else {
            vf lanes[8];
            UNROLLED (v, vectors)
                lanes[v] = load_lanes(b + v * LANES);
            UNROLLED (r, n_rows)
                UNROLLED (v, vectors)
                    acc[r][v] = vf_fma(FACTOR(r, v), lanes[v], acc[r][v]);
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

#if Q8_0
#ifdef __SANITIZE_ADDRESS__ // whose checks take the compiler a minute where this is unrolled
#define EACH_FOUR(J) for (size_t J = 0; J < Q4_BLOCK / 4; J++)
#else // gcc would store the sums in each turn of a loop
#define EACH_FOUR(J) UNROLLED (J, Q4_BLOCK / 4)
#endif

// Adds block b of the dimensions to the scores of the rows at positions t on, or begins with it.
static ALWAYS_INLINE void add_int8_scores(const struct tile *tile, struct step *s, const int8_t *k, size_t t, size_t b,
                                          size_t n_rows, size_t vectors) {
    const int8_t *q = tile->q + s->row * tile->stride + b * Q4_BLOCK;
    const float *scales = tile->key_scales + b * Q4_KV_BLOCK + t;
    vi sum[ROWS][8];
    UNROLLED (r, n_rows)
        UNROLLED (v, vectors)
            sum[r][v] = bytes_start(-BYTES_OFFSET * tile->q_sums[s->row + r][b]);
    EACH_FOUR (j) {
        const size_t d = 4 * j;
        const int8_t *from = k + q4_kv_int8_key(b * Q4_BLOCK + d, t);
        if (s->next_keys && t == 0)
            _mm_prefetch(s->next_keys + (b * Q4_BLOCK + d) / 4 * 64, _MM_HINT_T0);
        UNROLLED (v, vectors) {
            vi keys = vi_xor(vi_load(from + v * sizeof(vi)), vi_all_bytes(-128));
            UNROLLED (r, n_rows) {
                int32_t four;
                memcpy(&four, q + r * tile->stride + d, sizeof four);
                sum[r][v] = bytes_dot(sum[r][v], keys, vi_all(four));
            }
        }
    }
    UNROLLED (r, n_rows)
        UNROLLED (v, vectors) {
            float *at = s->weights[r] + t + v * LANES;
            vf scale = vf_mul(vf_all(tile->q_scales[s->row + r][b]), vf_load(scales + v * LANES));
            vf_store(at, vf_fma(vf_from(sum[r][v]), scale, b ? vf_load(at) : vf_zero()));
        }
}

#define EACH_PART(B) for (size_t B = 0; B < tile->dim / Q4_BLOCK; B++)
#define SCORES(N, VECTORS) add_int8_scores(tile, s, k, t, part, N, VECTORS)
#else
#define EACH_PART(B)
#define SCORES(N, VECTORS)                                                                                             \
    product(s->weights[0] + t, Q4_KV_BLOCK, tile->q + s->row * tile->stride, tile->stride, 0, k + t, Q4_KV_BLOCK,      \
            tile->dim, N, VECTORS, (struct fold){NULL, NULL}, s->ahead)
#endif
#define SCORES_WIDE(N) SCORES(N, WIDE(N))

// As many vectors of positions as the rows see; where the block is cut and the group is whole, no more.
static void block_scores(const struct tile *tile, struct step *s, const element *k) {
    size_t n = s->seen[s->n_rows - 1].end, step = WIDE(s->n_rows) * LANES;
    for (size_t t = s->seen[0].first / step * step; t < n; t += step) {
        size_t vectors = (n - t + LANES - 1) / LANES;
        EACH_PART(part) {
            if (s->n_rows == ROWS && vectors == 1)
                SCORES(ROWS, 1);
            else if (s->n_rows == ROWS && vectors == 2)
                SCORES(ROWS, 2);
            else if (s->n_rows == ROWS && vectors == 3 && WIDE(ROWS) == 4)
                SCORES(ROWS, 3 % (WIDE(ROWS) + 1));
            else
                EACH_ROW_COUNT(s->n_rows, SCORES_WIDE)
        }
    }
}

#if Q8_0
#define WEIGHTS(D) (scale_weights(tile, s, D), s->scaled[(D) / Q4_BLOCK % 2][0])
#define PART_STRIDE (ROWS * Q4_KV_BLOCK)

// Vector v of row r's weights times the values' scales, exact, of Q4_BLOCK or twice as many dimensions from d on.
static ALWAYS_INLINE void scale_vector(const struct tile *tile, struct step *s, size_t d, size_t r, size_t v, vf x) {
    const float *scales = tile->value_scales + d / Q4_BLOCK * Q4_KV_BLOCK + v * LANES;
    vf_store(s->scaled[0][r] + v * LANES, vf_mul(x, vf_load(scales)));
    if (d + Q4_BLOCK < tile->dim)
        vf_store(s->scaled[1][r] + v * LANES, vf_mul(x, vf_load(scales + Q4_KV_BLOCK)));
}

// Those of the first dimensions are there, behind the softmax.
static void scale_weights(const struct tile *tile, struct step *s, size_t d) {
    for (size_t r = 0; d && d % (2 * Q4_BLOCK) == 0 && r < s->n_rows; r++)
        UNROLLED (v, POSITION_VECTORS)
            scale_vector(tile, s, d, r, v, vf_load(s->weights[r] + v * LANES));
}
#else
#define WEIGHTS(D) s->weights[0]
#define PART_STRIDE 0
#endif

// Where a row sees less than the others, weights of 0 leave its sums as they are: these are never -0.
static ALWAYS_INLINE void fold_values(struct tile *tile, struct step *s, const element *v, struct fold fold) {
    size_t d = 0, dim = tile->dim, from = s->seen[0].first, n = s->seen[s->n_rows - 1].end - from;
    float *total = tile->total + s->row * tile->stride;
    const float *weights;
#define VALUES(N, VECTORS)                                                                                             \
    product(total + d, tile->stride, weights + from, Q4_KV_BLOCK, PART_STRIDE, v + from * dim + d, dim, n, N, VECTORS, \
            fold, s->ahead)
#define VALUES_WIDE(N) VALUES(N, WIDE(N))
#define VALUES_2(N) VALUES(N, 2)
#define VALUES_1(N) VALUES(N, 1)
    for (const size_t wide = WIDE(s->n_rows) * LANES; d + wide <= dim; d += wide) {
        weights = WEIGHTS(d);
        EACH_ROW_COUNT(s->n_rows, VALUES_WIDE)
    }
    for (; d + 2 * LANES <= dim; d += 2 * LANES) {
        weights = WEIGHTS(d);
        EACH_ROW_COUNT(s->n_rows, VALUES_2)
    }
    for (; d < dim; d += LANES) {
        weights = WEIGHTS(d);
        EACH_ROW_COUNT(s->n_rows, VALUES_1)
    }
}

static void block_values(struct tile *tile, struct step *s, const element *v, bool first) {
    if (first)
        fold_values(tile, s, v, (struct fold){NULL, NULL});
    else
        fold_values(tile, s, v, (struct fold){s->old, s->new});
}

// Lanes of positions that are not seen hold anything, and may afterwards.
static void cap_scores(float scores[Q4_KV_BLOCK], float cap) {
    UNROLLED (v, POSITION_VECTORS)
        vf_store(scores + v * LANES, vf_soft_cap(vf_load(scores + v * LANES), cap));
}

// q4_block_softmax of all rows, step by step: within one row each step waits for the one before. Absent positions count
// as -infinity, whose weight rounds to 0 in fp16.
static void largest_scores(struct step *s) {
    for (size_t r = 0; r < s->n_rows; r++) {
        float *scores = s->weights[r];
        size_t n = s->seen[r].end;
        for (size_t t = 0; t < s->seen[r].first; t++)
            scores[t] = -INFINITY;
        for (size_t t = n / LANES * LANES; t < Q4_KV_BLOCK; t += LANES)
            vf_store(scores + t, vf_first_or(scores + t, n > t ? n - t : 0, -INFINITY));
        vf largest = vf_load(scores);
        UNROLLED (v, POSITION_VECTORS)
            largest = vf_max(largest, vf_load(scores + v * LANES));
        s->max[r] = vf_largest(largest);
    }
}

static void block_softmax(const struct tile *tile, struct step *s) {
    (void)tile;
    largest_scores(s);
    vf sums[ROWS][16 / LANES];
    for (size_t r = 0; r < s->n_rows; r++) {
        vf x[POSITION_VECTORS];
        UNROLLED (v, POSITION_VECTORS) {
            x[v] = vf_max(vf_sub(vf_load(s->weights[r] + v * LANES), vf_all(s->max[r])), vf_all(-87.0f));
            x[v] = vf_round_half(vf_exp_above(x[v]));
            vf_store(s->weights[r] + v * LANES, x[v]);
#if Q8_0
            scale_vector(tile, s, 0, r, v, x[v]);
#endif
        }
        UNROLLED (j, 16 / LANES) {
            vf sum = vf_add(x[j], x[j + 16 / LANES]);
            sums[r][j] = vf_add(vf_add(sum, x[j + 32 / LANES]), x[j + 48 / LANES]);
        }
    }
    for (size_t r = 0; r < s->n_rows; r++)
        s->sum[r] = vf_fold16(sums[r]);
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

static inline const element *block_at(const void *from, size_t p, size_t dim) {
    return (const element *)((const uint8_t *)from + p / Q4_KV_BLOCK * q4_kv_block_bytes(FORM, dim));
}

#if Q8_0
static void load_scales(struct tile *tile, const q4_attn_args *args, size_t p) {
    const uint16_t *keys = q4_kv_scales(block_at(args->keys, p, tile->dim), tile->dim);
    const uint16_t *values = q4_kv_scales(block_at(args->values, p, tile->dim), tile->dim);
    size_t ahead = q4_kv_block_bytes(FORM, tile->dim); // behind the last block nothing is harmed
    for (size_t i = 0; i < Q4_KV_BLOCK * tile->dim / Q4_BLOCK; i += LANES) {
        _mm_prefetch((const char *)(keys + i) + ahead, _MM_HINT_T0);
        _mm_prefetch((const char *)(values + i) + ahead, _MM_HINT_T0);
        vf_store(tile->key_scales + i, vf_load_halves(keys + i));
        vf_store(tile->value_scales + i, vf_load_halves(values + i));
    }
}
#endif

// The group at the block that starts at p, which is the first one of its rows or joins what there is of them.
static void attend_block(struct tile *tile, struct step *s, size_t p, bool first, const q4_attn_args *args) {
    s->next_keys = Q8_0 && s->ahead ? (const char *)block_at(args->keys, p, tile->dim) + s->ahead : NULL;
    block_scores(tile, s, block_at(args->keys, p, tile->dim));
    for (size_t r = 0; tile->logit_cap != 0.0f && r < s->n_rows; r++)
        cap_scores(s->weights[r], tile->logit_cap);
    for (size_t line = tile->dim / 4; s->next_keys && line < tile->dim; line++)
        _mm_prefetch(s->next_keys + line * 64, _MM_HINT_T0);
    block_softmax(tile, s);
    if (!first) {
        merge_states(tile, s);
    } else {
        memcpy(tile->max + s->row, s->max, s->n_rows * sizeof(float));
        memcpy(tile->sum + s->row, s->sum, s->n_rows * sizeof(float));
    }
    block_values(tile, s, block_at(args->values, p, tile->dim), first);
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
    const element *values = block_at(args->values, start, tile->dim);
    for (size_t i = 0; i < q4_min_size(last - start, Q4_KV_BLOCK) * tile->dim; i += 64 / sizeof *values)
        _mm_prefetch((const char *)(values + i), _MM_HINT_T0);
    for (size_t p = start; p < last; p += Q4_KV_BLOCK) {
        // behind a whole span lies the next one
        bool more = p + Q4_KV_BLOCK < last || last == Q4_KV_SPAN;
        s.ahead = more ? q4_kv_block_bytes(FORM, tile->dim) : 0; // for the first group: the others find the block in L1
#if Q8_0
        load_scales(tile, args, p);
#endif
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

static void load_query(struct tile *tile, size_t row, const float *q, float scale) {
#if Q8_0
    q4_kv_int8_query(QUANTIZE, tile->q + row * tile->stride, tile->q_scales[row], tile->q_sums[row], q, scale,
                     tile->dim);
#else
    for (size_t d = 0; d < tile->dim; d += LANES)
        vf_store(tile->q + row * tile->stride + d, vf_round_half(vf_mul(vf_load(q + d), vf_all(scale))));
#endif
}

void ATTENTION(float *acc, q4_attn_state *states, const float *q, const q4_attn_args *args) {
    size_t dim = args->head_dim, n = args->n_tokens * args->n_heads;
#ifdef FALLBACK
    if (dim % LANES) {
        FALLBACK(acc, states, q, args);
        return;
    }
#endif
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
            load_query(&tile, r, from, args->scale);
        }
        attend_tile(&tile, args);
        for (size_t r = 0; r < tile.n_rows; r++) {
            size_t token = (first + r) / args->n_heads, head = (first + r) % args->n_heads;
            states[first + r] = (q4_attn_state){tile.max[r], tile.sum[r]};
            memcpy(acc + token * args->acc_stride + head * dim, tile.total + r * tile.stride, dim * sizeof(float));
        }
    }
}
