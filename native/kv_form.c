#include "kv_form.h"

#include <stdint.h>

const struct q4_kv_traits q4_kv_traits[Q4_KV_FORMS] = {
    [Q4_KV_F16] = {"f16", 1, sizeof(uint16_t)},
    [Q4_KV_Q8_0] = {"q8_0", 32, 32 + sizeof(uint16_t)}, // a scale, fp16
};
