#include "vec_avx2.h"

#define ISA avx2
#define QUANTIZE q4_quantize_q8_vector_avx2
#define Q8_0 1
#include "attention.h"
