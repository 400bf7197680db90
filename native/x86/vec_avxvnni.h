#define Q4_VEC_VNNI
#include "vec_avx2.h"
