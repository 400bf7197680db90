#ifndef Q4_KERNEL_COST_OPERATIONS_H
#define Q4_KERNEL_COST_OPERATIONS_H

#include "../../native/ops/ops.h"

// Runs the operation called `name` once; false where there is none. size: elements, or for attention positions.
bool q4_cost_operation(const struct q4_ops *ops, const char *name, size_t size);
// Prints the operations, one a line: name, default size, what a unit is, units of that size.
void q4_cost_list_operations(void);

#endif
