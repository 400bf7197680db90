#include "../cpu.h"

#include <cpuid.h>
#include <xmmintrin.h>

static uint64_t enabled_registers(void) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint32_t q4_cpu_detect(void) {
    uint32_t a, b, c, d, features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return 0;
    uint64_t registers = enabled_registers();
    int ymm = (registers & 0x6) == 0x6, zmm = (registers & 0xe6) == 0xe6;
    int fma = c & bit_FMA && c & bit_F16C;
    if (!ymm || !fma || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2))
        return 0;
    features |= Q4_CPU_AVX2;
    uint32_t avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    if (zmm && (b & avx512) == avx512) {
        features |= Q4_CPU_AVX512;
        if (c & (1u << 11))
            features |= Q4_CPU_AVX512VNNI;
    }
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && a & (1u << 4))
        features |= Q4_CPU_AVXVNNI;
    return features;
}

uint64_t q4_fp_enter(void) {
    uint32_t state = _mm_getcsr();
    _mm_setcsr(0x1f80);
    return state;
}

void q4_fp_leave(uint64_t state) { _mm_setcsr((uint32_t)state); }

const uint64_t q4_fp_flush_state = 0x1f80 | 1 << 15 | 1 << 6; // FTZ, DAZ
