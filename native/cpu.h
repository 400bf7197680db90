// What the CPU can do. Each architecture's folder implements q4_cpu_detect and the two floating-point functions.
#ifndef Q4_CPU_H
#define Q4_CPU_H

#include <stddef.h>
#include <stdint.h>

enum q4_cpu_feature {
    Q4_CPU_AVX2 = 1 << 0, // with FMA and F16C
    Q4_CPU_AVXVNNI = 1 << 1,
    Q4_CPU_AVX512 = 1 << 2, // F, BW, VL, DQ
    Q4_CPU_AVX512VNNI = 1 << 3,
    Q4_CPU_DOTPROD = 1 << 4,
    Q4_CPU_I8MM = 1 << 5,
    Q4_CPU_FP16 = 1 << 6, // half-precision arithmetic
    Q4_CPU_FHM = 1 << 7,  // FMLAL
};

#define Q4_CPU_N_FEATURES 8
extern const char *const q4_cpu_feature_names[Q4_CPU_N_FEATURES];

// Features that this CPU and operating system offer to this architecture's kernels.
uint32_t q4_cpu_detect(void);

// Detected features, narrowed by `list` (the environment variable Q4_CPU_FEATURES): NULL or "" = all that were
// detected; "none"; "avx2,avxvnni" = only these; "-i8mm,-fhm" = all but these. On an unknown or absent name returns
// false with a message of at most `size` bytes.
int q4_cpu_select(const char *list, uint32_t *features, char *message, size_t size);

// Round to nearest, gradual underflow, no trapping: the state the arithmetic contract is written for. Returns the
// previous state for q4_fp_leave.
uint64_t q4_fp_enter(void);
void q4_fp_leave(uint64_t state);
// A state in which subnormals are flushed to zero: what some callers leave behind, for tests of the two functions.
extern const uint64_t q4_fp_flush_state;

#endif
