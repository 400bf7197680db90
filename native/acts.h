// The forms in which activations meet weights.
#ifndef Q4_ACTS_H
#define Q4_ACTS_H

#include <stdbool.h>
#include <stddef.h>

enum q4_act_form {
    Q4_ACT_F32, // as they are
    Q4_ACT_Q8,  // int8, fp16 scales kept as fp32
    Q4_ACT_Q8K, // int8, fp32 scales
    Q4_ACT_FORMS
};

// What there is of a form. `q4_ops.quantize` has the function that makes it.
struct q4_act_traits {
    size_t block; // columns that share a scale; 0: nothing is quantised
    bool sums;    // the sum of each block's q is kept too
};
extern const struct q4_act_traits q4_act_traits[Q4_ACT_FORMS];

#endif
