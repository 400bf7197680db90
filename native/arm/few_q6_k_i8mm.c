#define FEW_I8MM
#include "few_q6_k.h"

size_t q4_few_q6_k_dotprod_scratch(size_t k);
void q4_few_q6_k_dotprod(const struct q4_task *task);

size_t q4_few_q6_k_i8mm_scratch(size_t k) {
    size_t scratch = pairs_scratch(k, Q4_SUPER, false), of_three = q4_few_q6_k_dotprod_scratch(k);
    return scratch > of_three ? scratch : of_three;
}

// SMMLA needs weights paired; what that costs four tokens win back.
void q4_few_q6_k_i8mm(const struct q4_task *task) {
    if (task->n_tokens < 4) {
        q4_few_q6_k_dotprod(task);
        return;
    }
    if (task->n_tokens == 4)
        pack_pairs(task, 2, Q4_SUPER, false, q4_pack_pairs2);
    else
        pack_pairs(task, 4, Q4_SUPER, false, q4_pack_pairs4);
    few_panels(task);
}
