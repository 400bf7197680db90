// The forms that keys and values have in the KV cache.
#ifndef Q4_KV_FORM_H
#define Q4_KV_FORM_H

#include <stddef.h>

enum q4_kv_form { Q4_KV_F16, Q4_KV_Q8_0, Q4_KV_FORMS };

struct q4_kv_traits {
    const char *name;
    size_t columns, bytes; // of a head's dimensions so many at once, and what they take
};

extern const struct q4_kv_traits q4_kv_traits[Q4_KV_FORMS];

#endif
