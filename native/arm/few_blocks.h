// A few tokens times weights in the layout lane16, whose inner loops are assembly: panel_few_lane16*. Included once a
// kernel with FUNCTION(WIDTH), the name of the function for so many tokens (none: the kernel), BLOCK_BYTES of a panel
// and, for SMMLA, FEW_I8MM and PACK(PAIRS), the packing (few_pairs.h); where scales are multiplied by FMLAL, FEW_FHM.
#include "few.h"

#include "lane16.h"

#ifdef FEW_I8MM

#include "few_pairs.h"

void FUNCTION(2)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums);
void FUNCTION(4)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums, size_t half);
void FUNCTION(8)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride);

FEW_INLINE void part_sums(float *sums, const struct q4_task *task, const uint8_t *panel, size_t token, size_t part,
                          size_t width) {
    (void)token;
    if (width == 2)
        FUNCTION(2)(panel, task->scratch, task->k / Q4_BLOCK, sums);
    else
        FUNCTION(4)(panel, task->scratch, task->k / Q4_BLOCK, sums, part);
}

#else

#define PACKING (&q4_quad4)

void FUNCTION(2)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums);
void FUNCTION(3)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums, size_t half);
void FUNCTION(4)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums, size_t half);
void FUNCTION(8)(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums, size_t group,
                 const uint8_t *next_acts);

FEW_INLINE void part_sums(float *sums, const struct q4_task *task, const uint8_t *panel, size_t token, size_t part,
                          size_t width) {
    const uint8_t *acts = few_acts(PACKING, task, token);
    size_t n_blocks = task->k / Q4_BLOCK;
    if (width == 2)
        FUNCTION(2)(panel, acts, n_blocks, sums);
    else if (width == 3)
        FUNCTION(3)(panel, acts, n_blocks, sums, part);
    else if (width == 4)
        FUNCTION(4)(panel, acts, n_blocks, sums, part);
    else
        FUNCTION(8)(panel, acts, n_blocks, sums, part, acts + PACKING->bytes(task->k));
}
#endif

// Groups of 4 rows that go through the panel together: their accumulators fill a quarter of the registers.
#define GROUPS(WIDTH) ((WIDTH) <= 2 ? 4 : (WIDTH) <= 4 ? 2 : 1)

FEW_INLINE void panel_times(const struct q4_task *task, const uint8_t *panel, size_t row, size_t token, size_t n,
                            size_t width) {
    float *y = task->y + token * task->y_stride + row;
    size_t stride = task->y_stride, n_rows = task->n_rows - row;
#ifdef FEW_I8MM
    if (width == 8) {
        float part[8][LANE16_ROWS];
        bool whole = n == 8 && n_rows >= LANE16_ROWS;
        FUNCTION(8)(panel, task->scratch, task->k / Q4_BLOCK, whole ? y : part[0], 4 * (whole ? stride : LANE16_ROWS));
        for (size_t t = 0; t < n && !whole; t++)
            memcpy(y + t * stride, part[t], 4 * q4_min_size(n_rows, LANE16_ROWS));
        return;
    }
#endif
    float32x4_t acc[8]; // [group][SUMS(width)]
    size_t rows = 4 * GROUPS(width);
    for (size_t part = 0; part < LANE16_ROWS / rows && part * rows < n_rows; part++) {
        part_sums((float *)acc, task, panel, token, part, width);
        store_groups(y + part * rows, stride, n_rows - part * rows, acc, GROUPS(width), n, width);
    }
}

#define LEAST_WIDTH 2
#define PANEL_ROWS LANE16_ROWS
#define PANEL_BYTES(K) ((K) / Q4_BLOCK * BLOCK_BYTES)
#include "few_panels.h"

#define COLUMNS Q4_BLOCK
#define WITH_SUMS false
#include "few_kernel.h"
