#include "vec_avx512vnni.h"

#define ISA avx512vnni
#define QUANTIZE q4_quantize_q8_vector_avx512
#define Q8_0 1
#include "attention.h"
