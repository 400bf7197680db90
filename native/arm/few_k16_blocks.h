// A few tokens times Q4_K or Q5_K, whose inner loops are assembly: panel_few_k16*. Included once a kernel with
// FUNCTION(WIDTH), the name of the function for so many tokens (none: the kernel), BLOCK_BYTES of a panel and, for
// SMMLA, FEW_I8MM and PACK(PAIRS), the packing (few_pairs.h).
#include "few.h"

#include "k16.h"

#define LEAST_WIDTH 2

#ifdef FEW_I8MM
#include "few_pairs.h"

void FUNCTION(2)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums);
void FUNCTION(4)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums, size_t half);
void FUNCTION(8)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums);
#else
#define PACKING (&q4_quad4_k)

void FUNCTION(2)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums);
void FUNCTION(3)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums, size_t half);
void FUNCTION(4)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums, size_t half);
void FUNCTION(8)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums, const uint8_t *next_acts);
#endif

// Groups of 4 rows that go through the panel together.
#define GROUPS(WIDTH) ((WIDTH) == 3 || (WIDTH) == 4 ? 2 : 4)
// Vectors of a group; three tokens leave those of a fourth as they are.
#define ACCUMULATORS(WIDTH) ((WIDTH) == 3 ? 4 : (WIDTH))

FEW_INLINE void part_sums(float *sums, const struct q4_task *task, const uint8_t *panel, size_t token, size_t part,
                          size_t width) {
    size_t n_blocks = task->k / Q4_SUPER;
#ifdef FEW_I8MM
    (void)token;
    if (width == 2)
        FUNCTION(2)(panel, task->scratch, n_blocks, sums);
    else if (width == 4)
        FUNCTION(4)(panel, task->scratch, n_blocks, sums, part);
    else
        FUNCTION(8)(panel, task->scratch, n_blocks, sums);
#else
    const uint8_t *acts = few_acts(PACKING, task, token);
    if (width == 2)
        FUNCTION(2)(panel, acts, n_blocks, sums);
    else if (width == 3)
        FUNCTION(3)(panel, acts, n_blocks, sums, part);
    else if (width == 4)
        FUNCTION(4)(panel, acts, n_blocks, sums, part);
    else
        FUNCTION(8)(panel, acts, n_blocks, sums, acts + PACKING->bytes(task->k));
#endif
}

FEW_INLINE void panel_times(const struct q4_task *task, const uint8_t *panel, size_t row, size_t token, size_t n,
                            size_t width) {
    float *y = task->y + token * task->y_stride + row;
    size_t groups = GROUPS(width), rows = 4 * groups, n_rows = task->n_rows - row;
    for (size_t part = 0; part < K16_ROWS / rows && part * rows < n_rows; part++) {
        float32x4_t acc[4 * Q4_FEW_TOKENS]; // [group][ACCUMULATORS(width)]
        for (size_t i = 0; i < groups * ACCUMULATORS(width); i += 8)
            UNROLLED (j, 8)
                acc[i + j] = vdupq_n_f32(0.0f);
        part_sums((float *)acc, task, panel, token, part, width);
        store_groups(y + part * rows, task->y_stride, n_rows - part * rows, acc, groups, n, ACCUMULATORS(width));
    }
}

#define PANEL_ROWS K16_ROWS
#define PANEL_BYTES(K) ((K) / Q4_SUPER * BLOCK_BYTES)
#include "few_panels.h"

#define COLUMNS Q4_SUPER
#define WITH_SUMS true
#include "few_kernel.h"
