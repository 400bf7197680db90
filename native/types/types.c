// One variant's list of types.
#include "../ops/ops.h"

#define DECLARE(NAME, FILE, NUMBER) extern const struct q4_type Q4_NAME(q4_type_##FILE);
#define ADDRESS(NAME, FILE, NUMBER) &Q4_NAME(q4_type_##FILE),

Q4_TYPES(DECLARE)

const struct q4_type *const Q4_NAME(q4_types)[] = {Q4_TYPES(ADDRESS) NULL};
