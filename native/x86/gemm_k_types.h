// The GEMM kernels of the types with super-blocks for one ISA. Includer: gemm_types.h first.
#include "unpack_k.h"

// One super-block of 32 decoded rows; steps of 4 bytes a row.
typedef struct {
    int32_t q[Q4_SUPER / 4][PANEL_ROWS];       // 4 columns: unsigned bytes
    int32_t scale[Q4_SUPER / 16][PANEL_ROWS];  // of sub-blocks, in scale_form
    int32_t offset[Q4_SUPER / 32][PANEL_ROWS]; // what sums of 16 activations are multiplied with, two as 16-bit pairs
    float d[PANEL_ROWS], dmin[PANEL_ROWS];
} decoded_k;

// Factors of two times 16 columns, `factor` times as much.
static ALWAYS_INLINE void store_offsets(decoded_k *out, size_t row, const int8_t first[K_ROWS],
                                        const int8_t second[K_ROWS], size_t pair, int factor) {
    for (size_t r = 0; r < K_ROWS; r++)
        out->offset[pair][row + r] = pair_of(factor * first[r], factor * second[r]);
}

// sub: columns of a sub-block; offset: by which bytes exceed weights, where sub-blocks have no minima.
static ALWAYS_INLINE void decode_scales(decoded_k *out, size_t row, const struct k_scales *scales, size_t sub,
                                        bool minima, int offset) {
    const int8_t (*from)[K_ROWS] = minima ? scales->minimum : scales->scale;
    int factor = minima ? 1 : -offset;
    for (size_t s = 0; s < Q4_SUPER / sub; s++)
        for (size_t r = 0; r < K_ROWS; r += LANES)
            vi_store(out->scale[s] + row + r, scale_form(vi_load_bytes(scales->scale[s] + r)));
    for (size_t pair = 0; pair < Q4_SUPER / 32; pair++)
        if (sub == 32)
            store_offsets(out, row, from[pair], from[pair], pair, factor);
        else
            store_offsets(out, row, from[2 * pair], from[2 * pair + 1], pair, factor);
}

#define DECODE_K(ID, COLUMNS, HAS_MINIMA, BYTE_OFFSET, DMIN)                                                           \
    static inline void decode_##ID(decoded_k *out, size_t row, const panel_##ID *p) {                                  \
        struct k_scales scales;                                                                                        \
        scales_##ID(&scales, p);                                                                                       \
        decode_scales(out, row, &scales, COLUMNS, HAS_MINIMA, BYTE_OFFSET);                                            \
        for (size_t r = 0; r < K_ROWS; r += LANES)                                                                     \
            for (size_t part = 0; part < 8; part++) {                                                                  \
                vi g[8];                                                                                               \
                groups_##ID(g, p, part, r);                                                                            \
                UNROLLED (i, 8)                                                                                        \
                    vi_store(out->q[part * 8 + i] + row + r, g[i]);                                                    \
            }                                                                                                          \
        decode_halves(out->d + row, p->d, K_ROWS);                                                                     \
        DMIN                                                                                                           \
    }
#define DECODE_DMIN decode_halves(out->dmin + row, p->dmin, K_ROWS);

DECODE_K(q2_k, 16, true, 0, DECODE_DMIN)
DECODE_K(q3_k, 16, false, 4, )
DECODE_K(q4_k, 32, true, 0, DECODE_DMIN)
DECODE_K(q5_k, 32, true, 0, DECODE_DMIN)
DECODE_K(q6_k, 16, false, 32, )
DECODE_K(iq4_xs, 32, false, BYTES_OFFSET, )

#define ACTS acts_k
#define ACTS_FORM q4_x86_acts_k
#define DECODED decoded_k
#define SPLIT 2

#define TYPE q2_k
#define PACKED panel_q2_k
#define DECODE decode_q2_k
#define DOT nibbles_dot
#define FIT 4
#define SUB 16
#define MINIMA
#include "gemm.h"

#define TYPE q3_k
#define PACKED panel_q3_k
#define DECODE decode_q3_k
#define DOT nibbles_dot
#define FIT 4
#define SUB 16
#include "gemm.h"

#define TYPE q4_k
#define PACKED panel_q4_k
#define DECODE decode_q4_k
#define DOT nibbles_dot
#define FIT 8
#define SUB 32
#define MINIMA
#include "gemm.h"

#define TYPE q5_k
#define PACKED panel_q5_k
#define DECODE decode_q5_k
#define DOT nibbles_dot
#define FIT 4
#define SUB 32
#define MINIMA
#include "gemm.h"

#define TYPE q6_k
#define PACKED panel_q6_k
#define DECODE decode_q6_k
#define DOT nibbles_dot
#define FIT 2
#define SUB 16
#include "gemm.h"

#define TYPE iq4_xs
#define PACKED panel_iq4_xs
#define DECODE decode_iq4_xs
#define DOT products_of_bytes
#define FIT 1
#define SUB 32
#include "gemm.h"
