#include "vec_avxvnni.h"

#define ISA avxvnni
#define QUANTIZE q4_quantize_q8_vector_avx2
#define Q8_0 1
#include "attention.h"
