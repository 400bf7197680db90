// What an A64 instruction counts as.
#ifndef Q4_INSTRUCTIONS_H
#define Q4_INSTRUCTIONS_H

#include <stdint.h>

// Counters that an instruction adds one to. LOAD to CRYPTO are disjoint; what is in none of them (system registers,
// barriers, prefetches, atomic read-modify-writes, SVE) is the rest of ALL. DOT and MATRIX are in SIMD as well.
enum counter {
    ALL,
    LOAD,
    STORE,
    INTEGER,
    SIMD,
    SCALAR_FP,
    BRANCH_IMMEDIATE,
    BRANCH_INDIRECT,
    CRYPTO,
    DOT,
    MATRIX,
    INSTRUCTION_COUNTERS
};

// Bit i: counter i.
uint32_t q4_instruction_counters(uint32_t instruction);

#endif
