#include "acts.h"

#include "types/types.h"

const struct q4_act_traits q4_act_traits[Q4_ACT_FORMS] = {
    [Q4_ACT_F32] = {0},
    [Q4_ACT_Q8] = {.block = Q4_BLOCK, .sums = true},
    [Q4_ACT_Q8K] = {.block = Q4_SUPER},
};
