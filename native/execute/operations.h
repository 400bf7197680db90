// The classes of operations, by kind.
#ifndef Q4_OPERATIONS_H
#define Q4_OPERATIONS_H

#include "../plan.h"

extern const struct q4_op_class *const q4_operations[Q4_OP_KINDS];

#endif
