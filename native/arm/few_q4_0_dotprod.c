#include <stddef.h>
#include <stdint.h>

// panel_few_q4_0_dotprod.S
void q4_few2_q4_0_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums);
void q4_few3_q4_0_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums, size_t half);
void q4_few4_q4_0_dotprod(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *sums, size_t half);

static inline void few_sums(float *sums, const uint8_t *panel, const uint8_t *acts, size_t n_blocks, size_t group,
                            size_t width) {
    if (width == 2)
        q4_few2_q4_0_dotprod(panel, acts, n_blocks, sums);
    else if (width == 3)
        q4_few3_q4_0_dotprod(panel, acts, n_blocks, sums, group / 2);
    else
        q4_few4_q4_0_dotprod(panel, acts, n_blocks, sums, group / 2);
}

#define FEW_NAME q4_few_q4_0_dotprod
#define FEW_SUMS few_sums
#define DECODE_TYPE Q4_0
#include "few_lane16.h"
