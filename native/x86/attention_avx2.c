#include "vec_avx2.h"

#define ISA avx2
#define Q8_0 0
#include "attention.h"
