#include "vec_avx512.h"

#define ISA avx512
#define Q8_0 1
#include "attention.h"
