// A few tokens times Q6_K, whose inner loops are assembly: panel_few_q6_k_*.S. Included once a kernel, with FEW_I8MM
// for SMMLA.
#include "few.h"

#include "q6b.h"

#ifdef FEW_I8MM
#include "few_pairs.h"

#define LEAST_WIDTH 4
void q4_few4_q6_k_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums);
void q4_few8_q6_k_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums);
#else
#define PACKING (&q4_quad4_k)
#define LEAST_WIDTH 2
void q4_few2_q6_k_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums);
void q4_few3_q6_k_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums);
void q4_few4_q6_k_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums);
void q4_few8_q6_k_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums,
                          const uint8_t *next_acts);
#endif

FEW_INLINE void panel_sums(float *sums, const uint8_t *panel, const struct q4_task *task, size_t token, size_t width) {
    size_t n_blocks = task->k / Q4_SUPER;
#ifdef FEW_I8MM
    (void)token;
    if (width == 4)
        q4_few4_q6_k_i8mm(panel, task->scratch, n_blocks, sums);
    else
        q4_few8_q6_k_i8mm(panel, task->scratch, n_blocks, sums);
#else
    const uint8_t *acts = few_acts(PACKING, task, token);
    if (width == 2)
        q4_few2_q6_k_dotprod(panel, acts, n_blocks, sums);
    else if (width == 3)
        q4_few3_q6_k_dotprod(panel, acts, n_blocks, sums);
    else if (width == 4)
        q4_few4_q6_k_dotprod(panel, acts, n_blocks, sums);
    else
        q4_few8_q6_k_dotprod(panel, acts, n_blocks, sums, acts + PACKING->bytes(task->k));
#endif
}

FEW_INLINE void panel_times(const struct q4_task *task, const uint8_t *panel, size_t row, size_t token, size_t n,
                            size_t width) {
    float32x4_t acc[2 * Q4_FEW_TOKENS]; // [group of 4 rows][SUMS(width)]
    UNROLLED (i, 2 * SUMS(width))
        acc[i] = vdupq_n_f32(0.0f);
    panel_sums((float *)acc, panel, task, token, width);
    store_groups(task->y + token * task->y_stride + row, task->y_stride, task->n_rows - row, acc, 2, n, width);
}

#define PANEL_ROWS Q6B_ROWS
#define PANEL_BYTES(K) ((K) / Q4_SUPER * Q6B_BYTES)
#include "few_panels.h"
