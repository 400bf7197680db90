#include "vec_avx512.h"

#define ISA avx512
#include "vector_ops.h"
