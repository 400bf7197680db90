#include "few_q6_k.h"

size_t q4_few_q6_k_dotprod_scratch(size_t k) { return few_scratch(PACKING, k); }

void q4_few_q6_k_dotprod(const struct q4_task *task) {
    few_pack(PACKING, task);
    few_panels(task);
}
