#include "vec_avxvnni.h"

#define ISA avxvnni
#include "int8_peak.h"
