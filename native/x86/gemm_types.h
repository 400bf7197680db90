// The GEMM kernels of the types with blocks of 32 columns for one ISA. Includer: vec_*.h first, then ISA.
#include "layouts.h"

#include "kernel.h"

#define ROW_VECTORS 2       // of a tile at once
#define L2_ACTS (256 << 10) // bytes of activations that each panel meets: they stay in an L2 of 1 MB

// One block of 32 decoded rows; steps of 4 bytes a row.
typedef struct {
    int32_t q[8][PANEL_ROWS]; // 4 columns: unsigned bytes
    float d[PANEL_ROWS];
} decoded_q8;

typedef struct {
    int32_t q[8][PANEL_ROWS];
    float d[PANEL_ROWS], m[PANEL_ROWS];
} decoded_min;

static inline void decode_halves(float *to, const uint16_t *from, size_t n) {
    for (size_t r = 0; r < n; r += LANES)
        vf_store(to + r, vf_load_halves(from + r));
}

static inline void decode_nibbles(int32_t q[8][PANEL_ROWS], const uint8_t packed[2][4][64]) {
    vi mask = vi_all_bytes(15);
    for (size_t r = 0; r < PANEL_ROWS; r += LANES)
        for (size_t c = 0; c < 4; c++) {
            vi pair = vi_load(packed[r / 16][c] + r % 16 * 4);
            vi_store(q[c] + r, vi_and(pair, mask));
            vi_store(q[4 + c] + r, vi_and(vi_right(pair, 4), mask));
        }
}

static inline void decode_q4_0(decoded_q8 *out, size_t row, const panel_q4_0 *p) {
    (void)row;
    decode_nibbles(out->q, p->q);
    decode_halves(out->d, p->d, PANEL_ROWS);
}

static inline void decode_q4_1(decoded_min *out, size_t row, const panel_q4_1 *p) {
    (void)row;
    decode_nibbles(out->q, p->q);
    decode_halves(out->d, p->d, PANEL_ROWS);
    decode_halves(out->m, p->m, PANEL_ROWS);
}

// offset: of the bytes.
static ALWAYS_INLINE void decode_fives(int32_t q[8][PANEL_ROWS], const uint8_t packed[2][5][64], int offset) {
    for (size_t r = 0; r < PANEL_ROWS; r += LANES) {
        vi w[8];
        five_bit_groups(packed[r / 16][0] + r % 16 * 4, w);
        UNROLLED (c, 8)
            vi_store(q[c] + r, vi_add_bytes(w[c], vi_all_bytes(offset)));
    }
}

static inline void decode_q5_0(decoded_q8 *out, size_t row, const panel_q5_0 *p) {
    (void)row;
    decode_fives(out->q, p->q, FIVES_OFFSET - 16);
    decode_halves(out->d, p->d, PANEL_ROWS);
}

static inline void decode_q5_1(decoded_min *out, size_t row, const panel_q5_1 *p) {
    (void)row;
    decode_fives(out->q, p->q, 0);
    decode_halves(out->d, p->d, PANEL_ROWS);
    decode_halves(out->m, p->m, PANEL_ROWS);
}

static inline void decode_iq4_nl(decoded_q8 *out, size_t row, const panel_iq4_nl *p) {
    (void)row;
    vi table = iq4_table();
    decode_nibbles(out->q, p->q);
    for (size_t c = 0; c < 8; c++)
        for (size_t r = 0; r < PANEL_ROWS; r += LANES)
            vi_store(out->q[c] + r, vi_look_up(table, vi_load(out->q[c] + r)));
    decode_halves(out->d, p->d, PANEL_ROWS);
}

static inline void decode_q8_0(decoded_q8 *out, size_t row, const panel_q8_0 *p) {
    (void)row;
    for (size_t r = 0; r < PANEL_ROWS; r += LANES)
        for (size_t c = 0; c < 8; c++)
            vi_store(out->q[c] + r, vi_load(p->q[r / 16][c] + r % 16 * 4));
    decode_halves(out->d, p->d, PANEL_ROWS);
}

// Where sums go that are not stored as they are.
struct destination {
    float *y;
    size_t y_stride, n_rows; // rows that count
    const float *bias;       // of these rows, or NULL
    bool add;                // to what y holds
};

static ALWAYS_INLINE void finish_vector(const struct destination *to, float *y, const float *sums, size_t r, size_t n) {
    vf x = vf_load(sums + r);
    if (to->bias)
        x = vf_add(x, vf_load_first(to->bias + r, n));
    if (to->add)
        x = vf_add(vf_load_first(y + r, n), x);
    vf_store_first(y + r, n, x);
}

// Asks for the places of a tile's results, which are the farther apart the more rows a matrix has.
static ALWAYS_INLINE void expect_results(const struct destination *to, size_t first, size_t n) {
    const float *y = to->y + first * to->y_stride;
    for (size_t t = 0; t < n; t++, y += to->y_stride)
        for (size_t r = 0; r < to->n_rows; r += 16)
            prefetch_to_write(y + r);
}

// Tokens first .. first + n - 1, whose sums are [token][PANEL_ROWS].
static void finish_sums(const struct destination *to, const float *sums, size_t first, size_t n) {
    float *y = to->y + first * to->y_stride;
    for (size_t t = 0; t < n; t++, y += to->y_stride, sums += PANEL_ROWS) {
        if (to->n_rows == PANEL_ROWS)
            UNROLLED (v, PANEL_ROWS / LANES)
                finish_vector(to, y, sums, v * LANES, LANES);
        else
            for (size_t r = 0; r < to->n_rows; r += LANES)
                finish_vector(to, y, sums, r, to->n_rows - r);
    }
}

#define NO_MIN(ACC, V, T)

#define TYPE q4_0
#define PACKED panel_q4_0
#define ACTS acts_q8
#define ACTS_FORM q4_x86_acts_q8
#define DECODED decoded_q8
#define DECODE decode_q4_0
#define SPLIT 24
#define DOT nibbles_dot
#define FIT 8
#define START(T) a->minus_8_sum[T]
#define MIN NO_MIN
#define TILE_TYPE q4_0
#include "gemm.h"

#define TYPE q4_1
#define PACKED panel_q4_1
#define ACTS acts_q8
#define ACTS_FORM q4_x86_acts_q8
#define DECODED decoded_min
#define DECODE decode_q4_1
#define SPLIT 22
#define DOT nibbles_dot
#define FIT 8
#define START(T) 0
#define MIN(ACC, V, T) ACC = vf_fma(vf_all(a->sum[T]), vf_mul(vf_load(w->m + row0 + V * LANES), vf_all(a->d[T])), ACC);
#define TILE_TYPE q4_1
#include "gemm.h"

#define TYPE q5_0
#define PACKED panel_q5_0
#define ACTS acts_q8
#define ACTS_FORM q4_x86_acts_q8
#define DECODED decoded_q8
#define DECODE decode_q5_0
#define SPLIT 24
#define DOT nibbles_dot
#define FIT 4
#define START(T) (a->minus_128_sum[T] / (128 / FIVES_OFFSET))
#define MIN NO_MIN
#define TILE_TYPE q8_0
#include "gemm.h"

#define TYPE q8_0
#define PACKED panel_q8_0
#define ACTS acts_q8
#define ACTS_FORM q4_x86_acts_q8
#define DECODED decoded_q8
#define DECODE decode_q8_0
#define SPLIT 24
#define DOT products_of_bytes
#define FIT 1
#define START(T) (BYTES_OFFSET ? a->minus_128_sum[T] : 0)
#define MIN NO_MIN
#define TILE_TYPE q8_0
#include "gemm.h"

#define TYPE q5_1
#define PACKED panel_q5_1
#define ACTS acts_q8
#define ACTS_FORM q4_x86_acts_q8
#define DECODED decoded_min
#define DECODE decode_q5_1
#define SPLIT 22
#define DOT nibbles_dot
#define FIT 4
#define START(T) 0
#define MIN(ACC, V, T) ACC = vf_fma(vf_all(a->sum[T]), vf_mul(vf_load(w->m + row0 + V * LANES), vf_all(a->d[T])), ACC);
#define TILE_TYPE q4_1
#include "gemm.h"

#define TYPE iq4_nl
#define PACKED panel_iq4_nl
#define ACTS acts_q8
#define ACTS_FORM q4_x86_acts_q8
#define DECODED decoded_q8
#define DECODE decode_iq4_nl
#define SPLIT 24
#define DOT products_of_bytes
#define FIT 1
#define START(T) (BYTES_OFFSET ? a->minus_128_sum[T] : 0)
#define MIN NO_MIN
#define TILE_TYPE q8_0
#include "gemm.h"
