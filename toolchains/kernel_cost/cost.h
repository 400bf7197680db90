#ifndef Q4_KERNEL_COST_H
#define Q4_KERNEL_COST_H

#include <stddef.h>
#include <stdint.h>

// Marker functions: what runs between them is counted.
void q4_cost_begin(void);
void q4_cost_end(void);
void *q4_cost_allocate(size_t bytes); // zeroed; ends the program where there is no memory
uint32_t q4_cost_random(void);        // 24 bits

#endif
