#define FHM 0
#define Q8_0 0
#define ISA neon
#include "attention.h"
