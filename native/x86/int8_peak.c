// The table of peak loops.
#include "../peak.h"

#include "../cpu.h"
#include "int8_peak_sums.h"

void q4_int8_peak_avx2(size_t);
void q4_int8_peak_avxvnni(size_t);
void q4_int8_peak_avx512vnni(size_t);

const struct q4_int8_peak q4_arch_int8_peaks[] = {
    {"vpdpbusd zmm", Q4_CPU_AVX2 | Q4_CPU_AVX512 | Q4_CPU_AVX512VNNI, PEAK_SUMS * 64, q4_int8_peak_avx512vnni},
    {"vpdpbusd ymm", Q4_CPU_AVX2 | Q4_CPU_AVXVNNI, PEAK_SUMS * 32, q4_int8_peak_avxvnni},
    {"vpmaddubsw ymm", Q4_CPU_AVX2, PEAK_SUMS * 32, q4_int8_peak_avx2},
    {0},
};
