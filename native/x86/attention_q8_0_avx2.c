#include "vec_avx2.h"

#define ISA avx2
#define Q8_0 1
#include "attention.h"
