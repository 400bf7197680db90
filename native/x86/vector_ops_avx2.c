#include "vec_avx2.h"

#define ISA avx2
#include "vector_ops.h"
