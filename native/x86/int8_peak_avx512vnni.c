#include "vec_avx512vnni.h"

#define ISA avx512vnni
#include "int8_peak.h"
