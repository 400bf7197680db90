// The table of peak loops: none yet.
#include "../peak.h"

const struct q4_int8_peak q4_arch_int8_peaks[] = {{0}};
